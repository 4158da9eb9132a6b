"""Tables: a row a line where there is room, folded where there is little, and nothing lost or obeyed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runwatch.commands.table import cell, table, visible


def lines(rows: list[dict[str, Any]], columns: tuple[str, ...], width: int | None, **more: Any) -> list[str]:
    return [line.plain for line in table(rows, columns, width, **more)]


ROW = {"a": "one", "n": 12, "long": "a sentence of some length"}


def test_a_row_is_a_line_where_there_is_room() -> None:
    assert ["a     n  long", "one  12  a sentence of some length"] == lines([ROW], ("a", "n", "long"), 40)
    assert lines([ROW], ("a", "n", "long"), 34) == lines([ROW], ("a", "n", "long"), None)


def test_what_may_stand_below_does_where_there_is_none() -> None:
    expected = ["a     n", "one  12", "    a sentence of some length"]
    assert expected == lines([ROW], ("a", "n", "long"), 33, below=("long",))


def test_what_can_be_spared_goes_first_and_only_as_much_as_it_must() -> None:
    row = {"a": "x" * 10, "b": "y" * 10, "c": "z" * 10}
    assert ["a           c", f"{'x' * 10}  {'z' * 10}"] == lines([row], ("a", "b", "c"), 25, spare=("b", "c"))


def test_the_widest_are_folded_and_the_narrow_left_alone() -> None:
    row = {"a": "narrow", "b": "w" * 30}
    assert ["a       b", f"narrow  {'w' * 12}", f"        {'w' * 12}", f"        {'w' * 6}"] == lines(
        [row], ("a", "b"), 20
    )


def test_too_many_columns_are_told_field_by_field() -> None:
    row = {f"column{number}": "x" * 12 for number in range(8)}
    told = lines([row, row], tuple(row), 60)
    assert [f"column{number}  {'x' * 12}" for number in range(8)] == told[1:9]
    assert ["-- row 1", "-- row 2"] == [told[0], told[9]]


def test_one_field_of_many_lines_keeps_them() -> None:
    assert ["CREATE VIEW x", "AS SELECT 1"] == lines([{"s": "CREATE VIEW x\nAS SELECT 1"}], ("s",), 80)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0.1 + 0.2, "0.3"),
        (12_345_678.9, "12345679"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01 12:00:00"),
        (datetime(2026, 3, 1, 12, microsecond=5000, tzinfo=UTC), "2026-03-01 12:00:00.005"),
        (datetime(2026, 3, 1, 12), "2026-03-01 12:00:00"),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-03-01 12:00:00+0200"),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(-timedelta(hours=2))), "2026-03-01 12:00:00-0200"),
        (["a", 1], '["a", 1]'),
        (True, "True"),
    ],
    ids=str,
)
def test_values_as_people_read_them(value: Any, shown: str) -> None:
    assert shown == cell(value)


def test_nothing_a_terminal_would_obey(nasty: str) -> None:
    assert r"[red]\x1b[31m<b>\r\x07[/red]" == visible(nasty)
    told = lines([{"a": nasty, "b": "x\ny"}], ("a", "b"), 200)
    assert [r"[red]\x1b[31m<b>\r\x07[/red]  x\ny"] == told[1:]


TEXTS = st.text(max_size=60)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys("abc", TEXTS)), min_size=1, max_size=5), st.integers(10, 200))
def test_nothing_is_wider_than_the_screen_or_lost(rows: list[dict[str, str]], width: int) -> None:
    told = lines(rows, ("a", "b", "c"), width)
    assert all(line.isprintable() for line in told)
    if told[0].startswith("-- row"):
        assert 4 * len(rows) == len(told)
        return
    assert all(cell_len(line) <= width for line in told)
    # Folded or not, each letter is still there.
    letters = Counter("".join(told))
    letters.subtract("".join(visible(text) for row in rows for text in row.values()))
    del letters[" "]
    assert Counter("abc") == +letters


@given(st.lists(st.fixed_dictionaries(dict.fromkeys("abc", TEXTS)), min_size=1, max_size=5))
def test_a_pipe_gets_a_row_a_line(rows: list[dict[str, str]]) -> None:
    assert len(rows) + 1 == len(lines(rows, ("a", "b", "c"), None))
