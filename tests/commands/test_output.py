"""Rows for scripts: what is printed is read back the same by anyone's parser."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.commands.output import Format, clock, console, counted, print_json, print_rows

ROWS = [
    {
        "text": 'a,"b"\nc',
        "time": datetime(2026, 3, 1, 12, 0, 0, 5000, UTC),
        "day": date(2026, 3, 1),
        "list": [1, {"x": (None, 2.5)}],
        "id": UUID(int=7),
        "nan": math.nan,
        "sum": Decimal("1.50"),
        "none": None,
        "yes": True,
    }
]
PLAIN = {
    "text": 'a,"b"\nc',
    "time": "2026-03-01T12:00:00.005+00:00",
    "day": "2026-03-01",
    "list": [1, {"x": [None, 2.5]}],
    "id": "00000000-0000-0000-0000-000000000007",
    "nan": None,
    "sum": "1.50",
    "none": None,
    "yes": True,
}


def printed(capsys: pytest.CaptureFixture[str], form: Format, rows: list[dict[str, Any]] = ROWS) -> str:
    print_rows(rows, tuple(ROWS[0]), form, "Nothing.")
    return capsys.readouterr().out


def test_json_is_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    assert [PLAIN] == json.loads(printed(capsys, Format.json))
    assert [] == json.loads(printed(capsys, Format.json, []))


def test_json_lines_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert [PLAIN, PLAIN] == [json.loads(line) for line in printed(capsys, Format.jsonl, ROWS * 2).splitlines()]
    assert "" == printed(capsys, Format.jsonl, [])


def test_csv_has_a_head_and_no_carriage_returns(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, Format.csv)
    assert "\r" not in text
    head, row = csv.reader(io.StringIO(text))
    assert tuple(ROWS[0]) == tuple(head)
    assert ['a,"b"\nc', "2026-03-01 12:00:00.005+00:00", "2026-03-01", '[1, {"x": [null, 2.5]}]'] == row[:4]
    assert ["00000000-0000-0000-0000-000000000007", "nan", "1.50", "", "True"] == row[4:]
    assert ",".join(ROWS[0]) + "\n" == printed(capsys, Format.csv, [])


def test_nothing_to_show_is_said_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], ("a",), Format.table, "No [red] rows.")
    assert ("", "No [red] rows.\n") == tuple(capsys.readouterr())


@given(st.floats())
def test_numbers_keep_their_digits(value: float) -> None:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        print_json({"x": value})
        print_rows([{"x": value}], ("x",), Format.csv, "")
    in_json, _, in_csv = out.getvalue().splitlines()
    assert (value if math.isfinite(value) else None) == json.loads(in_json)["x"]
    assert value == float(in_csv) or math.isnan(value)


def test_small_things() -> None:
    assert ("0 events", "1 event", "2,000 events") == tuple(counted(number, "event") for number in (0, 1, 2000))
    assert "2026-03-01 12:00:00" == clock(1_772_366_400_000)


def test_names_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("agent:confused: stop", markup=False)
    console.print("[b]agent:fire:[/b]")
    assert "agent:confused: stop\nagent:fire:\n" == capsys.readouterr().out
