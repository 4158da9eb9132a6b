"""Rows for people and for scripts: a table, JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console()
notes = Console(stderr=True)
"""For what is said beside the result, so that a pipe gets the result alone."""


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How to print: for people, or for scripts.")]


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: Format, empty: str) -> int:
    """Prints rows and returns how many there were. `empty`: what a person is told when there are none."""
    if form is Format.table:
        return _table(list(rows), columns, empty)
    if form is Format.json:
        listed = [dict(row) for row in rows]
        print(json.dumps(listed, ensure_ascii=False, default=_plain, indent=1))
        return len(listed)
    count = 0
    writer = csv.writer(sys.stdout)
    if form is Format.csv:
        writer.writerow(columns)
    for row in rows:
        count += 1
        if form is Format.jsonl:
            print(json.dumps(dict(row), ensure_ascii=False, default=_plain), flush=True)
        else:
            writer.writerow([_cell(row.get(name)) for name in columns])
    return count


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str) -> int:
    if not rows:
        notes.print(empty)
        return 0
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in columns:
        numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        # As text: a tool may be called `[red]`.
        table.add_row(*(Text(_cell(row.get(name))) for name in columns))
    console.print(table)
    return len(rows)


def clock(ms: int) -> str:
    """A time for people, in their own zone."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    # What a terminal would obey is shown instead.
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value)
