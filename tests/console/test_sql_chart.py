"""A result as a chart: what is drawn by itself, and that text stays text."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.console.ask.sql import Column
from runwatch.console.pages.sql import address, spot
from runwatch.console.widgets.sql_chart import POINTS, Choice, axis_of, first_choice, options
from runwatch.console.widgets.sql_result import cell

TIME, AGENT = Column("at", "DateTime64(3, 'UTC')"), Column("agent", "LowCardinality(Nullable(String))")
RUNS, COST = Column("runs", "UInt64"), Column("usd", "Nullable(Float64)")


@pytest.mark.parametrize(
    ("columns", "choice"),
    [
        ((TIME, RUNS), Choice(0, (1,), "line")),
        ((RUNS, TIME, COST), Choice(1, (0, 2), "line")),
        ((AGENT, RUNS, COST), Choice(0, (1, 2), "bar")),
        ((RUNS, COST), Choice(0, (1,), "line")),
        ((RUNS,), None),
        ((AGENT, TIME), None),
        ((), None),
    ],
)
def test_what_is_drawn_at_first(columns: tuple[Column, ...], choice: Choice | None) -> None:
    assert choice == first_choice(columns)


@pytest.mark.parametrize(
    ("kind", "axis"),
    [
        ("Date", "time"),
        ("Nullable(DateTime('UTC'))", "time"),
        ("DateTime('Europe/Zurich')", "category"),
        ("Decimal(10, 2)", "value"),
        ("Bool", "category"),
        ("IntervalHour", "category"),
        ("Array(UInt8)", "category"),
    ],
)
def test_axes(kind: str, axis: str) -> None:
    assert axis == axis_of(Column("x", kind))


def test_times_are_utc_and_gaps_stay_gaps() -> None:
    rows: list[list[Any]] = [["2026-01-01 00:00:00.500", 1], ["2026-01-01 00:01:00.000", None], [None, 3]]
    chart = options((TIME, RUNS), rows, Choice(0, (1,), "line"))
    assert [[1767225600500, 1.0], [1767225660000, None]] == chart["series"][0]["data"]
    assert chart["useUTC"] is True


def test_names_are_no_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    chart = options((Column(evil, "String"), Column(evil, "UInt8")), [[evil, 1]], Choice(0, (1,), "bar"))
    assert "richText" == chart["tooltip"]["renderMode"]
    assert [evil] == chart["xAxis"]["data"]


def test_so_many_points_and_no_more() -> None:
    chart = options((RUNS, COST), [[n, n] for n in range(POINTS + 9)], Choice(0, (1,), "line"))
    assert POINTS == len(chart["series"][0]["data"])


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, None), (True, "true"), (2**64 - 1, "18446744073709551615"), (0.1, "0.1"), ([1, "ä"], '[1, "ä"]'),
     ("a\u202eb", "a⟨U+202E⟩b"), ("x" * 500, "x" * 400 + "… (500 characters)")],
)  # fmt: skip
def test_cells(value: Any, said: str | None) -> None:
    assert said == cell(value)


def test_the_place_of_an_error() -> None:
    assert "  2 │ 2 FOM runs\n    │       ▲" == spot("SELECT 1,\n2 FOM runs", 2, 7)
    assert "" == spot("SELECT 1", None, None) == spot("SELECT 1", 5, 1)


def test_a_query_stands_in_the_address_unless_it_is_too_long() -> None:
    assert "/sql?q=SELECT%201%20%26%201" == address(" SELECT 1 & 1 ")
    assert "/sql" == address("x" * 10_000) == address("")
