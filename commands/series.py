"""`runwatch backtest --series`: a CSV of times and values, scored point by point."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .exits import FOUND, MISUSED, Fail
from .output import Format, counted, print_json, print_rows, say
from .progress import LateBar

if TYPE_CHECKING:
    from ..processors.rules import Rules

COLUMNS = ("timestamp", "score", "anomaly")
SHOWN = 5
_DELIMITERS = ",;\t"
# Times as numbers: seconds, and thousandths of them, by their size (up to the year 5138 and from 1973 on).
_UNITS = ((1e11, 1_000), (1e14, 1), (1e17, 1e-3), (math.inf, 1e-6))


@dataclass(slots=True)
class Notes:
    """What is to be said of a file beside its scores."""

    empty: int = 0
    """Lines whose value is empty, or no finite number."""
    back: int = 0
    """Lines that lie before the one above."""
    wrong: int = 0
    first: list[str] = field(default_factory=list)
    """The first lines that hold no point, and why."""


def score_series(path: Path, rules: Rules, form: Format) -> None:
    """Prints a score for each point. Exits with 1 if a line held no point; `Fail` where the file holds none."""
    from ..processors.series import SeriesJudge
    from ..producers.reading import ReadingError

    notes = Notes()
    judge = SeriesJudge(rules.drift)
    rows: list[dict[str, Any]] = []
    points = anomalies = 0
    try:
        with LateBar("scoring"):
            for shown, ts_ms, value in read_points(str(path), notes):
                scored = judge.add(ts_ms, value)
                points += 1
                anomalies += scored.is_anomaly
                row = {"timestamp": shown, "score": round(scored.score, 4), "anomaly": scored.is_anomaly}
                if form is Format.jsonl:
                    print_json(row)
                else:
                    rows.append({**row, "anomaly": int(scored.is_anomaly)} if form is Format.csv else row)
    except ReadingError as error:
        raise Fail(str(error), MISUSED) from error
    if not points:
        why = f" ({notes.first[0]})" if notes.first else ""
        raise Fail(
            f"{path} holds no point: a line is a time and a value, such as 2026-03-01 12:00:00,17.5{why}.", MISUSED
        )
    if form is not Format.jsonl:
        print_rows(rows, COLUMNS, form, "")
    for line in notes.first:
        say(f"{path}, {line}")
    if notes.wrong:
        say(f"{counted(notes.wrong, 'line')} held no point.", "yellow")
    if notes.empty:
        say(f"{counted(notes.empty, 'line')} without a finite value left out.")
    if notes.back:
        lie = "line lies" if notes.back == 1 else "lines lie"
        say(f"{notes.back:,} {lie} before the one above: sort the file by time for scores that mean something.")
    if form is Format.table:
        say(f"{counted(points, 'point')}, of them {anomalies:,} unusual.")
    if notes.wrong:
        raise typer.Exit(FOUND)


def read_points(path: str, notes: Notes) -> Iterator[tuple[str, int, float]]:
    """(Time as it stands there, the same in milliseconds, value) of each line of a CSV, plain or gzip.

    The first two columns, whatever their names; a first line of names may be missing. Raises `ReadingError`.
    """
    from ..producers.reading import STDIN, chunks, lines, open_source

    raw = open_source(path)
    before = None
    delimiter = None
    try:
        for number, piece in enumerate(lines(chunks(raw, path, lambda _: None))):
            text = piece.data.decode("utf-8", "replace")
            if delimiter is None:
                delimiter = next((one for one in _DELIMITERS if one in text), ",")
            cells = [""]
            try:
                cells = [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))]
                ts_ms, value = _point(cells)
            except (ValueError, csv.Error) as error:
                # The first line may hold the names of the columns.
                if number or _time_or_none(cells[0]) is not None:
                    notes.wrong += 1
                    if len(notes.first) < SHOWN:
                        notes.first.append(f"line {piece.line}: {error}")
                continue
            if value is None or not math.isfinite(value):
                notes.empty += 1
                continue
            notes.back += before is not None and ts_ms < before
            before = ts_ms
            yield cells[0], ts_ms, value
    finally:
        if path != STDIN:
            raw.close()


def _point(cells: list[str]) -> tuple[int, float | None]:
    """Raises `ValueError`, with a sentence, for what is no point."""
    ts_ms = _time_or_none(cells[0])
    if ts_ms is None:
        raise ValueError(f"{cells[0][:40]!r} is no time; it is ISO 8601, or seconds or milliseconds since 1970")
    if len(cells) < 2:
        raise ValueError("there is a time, but no value beside it")
    if not cells[1] or cells[1].lower() in ("null", "none", "na"):
        return ts_ms, None
    try:
        return ts_ms, float(cells[1])
    except ValueError:
        raise ValueError(f"{cells[1][:40]!r} is no number") from None


def _time_or_none(text: str) -> int | None:
    """Milliseconds since the epoch; without a zone, in UTC."""
    try:
        number = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return None
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    if not math.isfinite(number):
        return None
    return int(number * next(unit for below, unit in _UNITS if abs(number) < below))
