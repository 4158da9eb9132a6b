"""Rows as text for people: no wider than the screen, nothing cut off, nothing that a terminal would obey."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.text import Text

GAP = 2
INDENT = 4
LEAST = 10
"""A column that is folded keeps at least so many cells; below that, rows are told field by field."""

Cells = dict[str, str]


def visible(text: str) -> str:
    """The text with what a terminal would obey spelled out, line ends included."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def cell(value: Any) -> str:
    """A value as people read it; times in UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        zone = "" if value.tzinfo in (None, UTC) else value.strftime("%z")
        return value.replace(tzinfo=None).isoformat(" ", "milliseconds" if value.microsecond else "seconds") + zone
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    width: int | None,
    *,
    below: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> list[Text]:
    """The lines of a table of `rows`, a row a line where `width` (in cells; None: no end) allows for that.

    Where it does not: columns in `below` stand beneath their row instead, those in `spare` are left out one after the
    other until the rest fits, and then the widest are folded. Too many columns even for that are told field by field.
    """
    cells = [{name: cell(row.get(name)) for name in columns} for row in rows]
    # One field of many lines, such as a SHOW CREATE TABLE, is meant to be read as it is.
    if list(columns) == list(columns[:1]) and any("\n" in row[columns[0]] for row in cells):
        return [Text(visible(line)) for row in cells for line in row[columns[0]].splitlines()]
    cells = [{name: visible(text) for name, text in row.items()} for row in cells]
    widths = _widths(cells, columns)
    numbers = {name for name in columns if all(isinstance(row.get(name), int | float | None) for row in rows)}
    if width is None or _total(widths) <= width:
        return _grid(cells, widths, numbers)
    above = {name: size for name, size in widths.items() if name not in below}
    for name in spare:
        if _total(above) <= width:
            break
        above.pop(name, None)
    folded = _folded(above, width)
    if folded is None:
        return _fields(cells, columns)
    return _grid(cells, folded, numbers, [name for name in columns if name in below])


def _widths(cells: Sequence[Cells], columns: Sequence[str]) -> dict[str, int]:
    return {name: max(cell_len(visible(name)), *(cell_len(row[name]) for row in cells)) for name in columns}


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _folded(widths: Mapping[str, int], width: int) -> dict[str, int] | None:
    """Widths that fit: the narrow ones as they are, the wide ones alike; None where that leaves too little."""
    room = width - GAP * (len(widths) - 1)
    left = len(widths)
    fitting: dict[str, int] = {}
    for name, size in sorted(widths.items(), key=lambda item: item[1]):
        fitting[name] = min(size, room // left)
        if fitting[name] < min(size, LEAST):
            return None
        room -= fitting[name]
        left -= 1
    return {name: fitting[name] for name in widths}


def _grid(
    cells: Sequence[Cells], widths: Mapping[str, int], numbers: set[str], below: Sequence[str] = ()
) -> list[Text]:
    head = _lines({name: visible(name) for name in widths}, widths, numbers)
    out = [Text(line, style="bold") for line in head]
    for row in cells:
        out += [Text(line) for line in _lines(row, widths, numbers)]
        out += [Text(" " * INDENT + row[name], style="dim") for name in below if row[name]]
    return out


def _lines(row: Mapping[str, str], widths: Mapping[str, int], numbers: set[str]) -> list[str]:
    """One row, over as many lines as its folded cells need."""
    parts = {name: _fold(row[name], size) for name, size in widths.items()}
    lines = []
    for number in range(max(map(len, parts.values()))):
        line = []
        for name, size in widths.items():
            text = parts[name][number] if number < len(parts[name]) else ""
            pad = " " * (size - cell_len(text))
            line.append(pad + text if name in numbers else text + pad)
        lines.append((" " * GAP).join(line).rstrip())
    return lines


def _fold(text: str, size: int) -> list[str]:
    """The text in pieces of at most `size` cells, one at least."""
    pieces = [""]
    used = 0
    for letter in text:
        wide = cell_len(letter)
        if used + wide > size and pieces[-1]:
            pieces.append("")
            used = 0
        pieces[-1] += letter
        used += wide
    return pieces


def _fields(cells: Sequence[Cells], columns: Sequence[str]) -> list[Text]:
    size = max(cell_len(visible(name)) for name in columns)
    out = []
    for number, row in enumerate(cells, 1):
        out.append(Text(f"-- row {number}", style="bold"))
        out += [Text(f"{visible(name):<{size}}  {row[name]}".rstrip()) for name in columns]
    return out
