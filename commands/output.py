"""Rows for people and for scripts: a table, JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from .table import cell, table, visible


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """That a reader has seen enough is no failure, which it is to rich."""
        raise BrokenPipeError


# Names come from others: "agent:confused:" is no picture of a face.
console = _Console(emoji=False)
notes = _Console(stderr=True, emoji=False)
"""For what is said beside the result, so that a pipe gets the result alone."""


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


class WholeFormat(StrEnum):
    """How one thing is printed that is more than rows, such as a run."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


SHORT_HASH = 8
"""Digits of a hash that a person needs to tell one from another."""

FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to print: for people, or for scripts.")]


def print_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    form: Format,
    empty: str,
    *,
    below: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Prints rows. `empty`: what a person is told when there are none; `below` and `spare`: see `table`."""
    if form is Format.table:
        if rows:
            # What reads from a pipe gets a row a line, however long.
            width = console.width if console.is_terminal else None
            for line in table(rows, columns, width, below=below, spare=spare):
                console.print(line, soft_wrap=True)
        else:
            say(empty)
    elif form is Format.json:
        print(json.dumps([_plain(row) for row in rows], ensure_ascii=False, indent=1))
    elif form is Format.jsonl:
        for row in rows:
            print_json(row)
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_field(row.get(name)) for name in columns] for row in rows)


def print_json(value: Mapping[str, Any]) -> None:
    """Prints a value as JSON on one line, at once."""
    print(json.dumps(_plain(value), ensure_ascii=False), flush=True)


def say(line: str, style: str = "") -> None:
    """A line beside the result, as it is but for what a terminal would obey."""
    notes.print(visible(line), style=style, highlight=False, markup=False, soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 event`, `2,000 events`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def clock(ms: int) -> str:
    """A time for people, in UTC as ClickHouse and every other command give it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _field(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(_plain(value), ensure_ascii=False)
    return cell(value)


def _plain(value: Any) -> Any:
    """A value as JSON has it: what is no number is null there, as in ClickHouse's own JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value)
