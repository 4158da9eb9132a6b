"""Sums window parts up: again and again, each cell of time as a whole.

A cell (so many minutes of a group) is made anew from all that it is made of whenever some of that has changed, and
replaces what was there: so it does not matter how often this runs, or where, or when it was cut off, and late parts
need nothing of their own. What has changed is told by when it was stored. Up to when that was looked at is noted once
everything before is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..clickhouse import StoreError, connect, told
from ..config import Settings
from .ddl import literal, quoted
from .trouble import Trouble

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

EVERY_S = 30.0
MARGIN_S = 60
"""What was stored this long before the last time is looked at again: an insert that was under way then."""
ROWS_AT_ONCE = 50_000
"""Of one statement, about, so that history that was imported does not have to fit into memory."""
CELLS_AT_ONCE = 600

_SUMS = (
    *("events", "runs_started", "runs_stopped", "successes", "model_calls", "tool_calls", "tool_errors", "retries"),
    *("rate_limited", "input_tokens", "output_tokens", "cost_usd", "outcome_sum", "outcome_count"),
    *("run_tool_calls_sum", "run_ms_sum", "run_cost_usd_sum"),
)
_MAPS = (
    ("stop_reasons", "stop_reason_counts"),
    *((f"{name}_keys", f"{name}_counts") for name in ("call_ms", "run_tool_calls", "run_ms", "run_cost_usd")),
    ("request_tokens_keys", "request_tokens_counts"),
)
_GROUP = ("agent", "agent_version", "model", "tool")
_OWN = ("all", "agent", "version", "model")
"""Levels that a group's own rows go into; those of its tools go into `tool` alone."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """What is summed up from where."""

    target: str
    source: str
    stored: str
    """When a row of the source was stored."""
    made: str
    """When a row of the target was made."""
    day: str
    """A source row's day of log time."""
    minutes: int
    """Length of a cell."""
    own: Sequence[str] = ()
    """Levels of rows that have no tool; none where the target has no levels."""
    of_tools: Sequence[str] = ()


HOURS = Rollup("hours_stored", "window_parts_stored", "ingested_at", "rolled_at", "toDate(slot)", 60)
FLEET_HOURS = Rollup(
    "fleet_hours_stored", "hours_stored", "rolled_at", "rolled_at", "slot_day", 60, own=_OWN, of_tools=("tool",)
)
FIVE_MINUTES = Rollup(
    "five_minutes_stored", "window_parts_stored", "ingested_at", "ingested_at", "toDate(slot)", 5,
    own=(*_OWN, "each"), of_tools=("tool", "each"),
)  # fmt: skip
ROLLUPS = (HOURS, FLEET_HOURS, FIVE_MINUTES)
"""In this order: whoever reads five minutes up to their newest finds the hours before it whole."""

Cell = tuple[int, int]
"""Its number since 1970, and its day of log time."""


def roll_up(client: Client, settings: Settings) -> None:
    """Brings all sums up to date. Raises `StoreError`."""
    with told(settings):
        for rollup in ROLLUPS:
            _bring_up_to_date(client, quoted(settings.database), rollup)


def _bring_up_to_date(client: Client, database: str, rollup: Rollup) -> None:
    until = client.query("SELECT toUnixTimestamp64Milli(now64(3))").result_rows[0][0]
    changed = client.query(changed_statement(database, rollup)).result_rows
    for cells in pieces(changed):
        client.command(sum_statement(database, rollup, cells), settings={"async_insert": 0})
    client.command(
        f"INSERT INTO {database}.rolled_stored (what, until, rolled_at) VALUES"
        f" ({literal(rollup.target)}, fromUnixTimestamp64Milli({until}), now64(3))",
        settings={"async_insert": 0},
    )


def pieces(changed: Sequence[Sequence[int]]) -> Iterator[list[Cell]]:
    """Cells of about as many rows as one statement takes; `changed`: cell, day and rows, by cell."""
    piece: list[Cell] = []
    rows = 0
    for cell, day, count in changed:
        if piece and (rows + count > ROWS_AT_ONCE or len(piece) >= CELLS_AT_ONCE):
            yield piece
            piece, rows = [], 0
        piece.append((cell, day))
        rows += count
    if piece:
        yield piece


def changed_statement(database: str, rollup: Rollup) -> str:
    """Which cells have rows that were stored since the last time: number, day, rows; by number."""
    # Hours were summed up before there was a note of it, and of what they were made of some may be gone.
    first = f"(SELECT max(rolled_at) FROM {database}.hours_stored)" if rollup is HOURS else "toDateTime64(0, 3, 'UTC')"
    return f"""
WITH
    (
        SELECT if(count() > 0, max(until), {first}) - toIntervalSecond({MARGIN_S})
        FROM {database}.rolled_stored WHERE what = {literal(rollup.target)}
    ) AS since
SELECT {_cell(rollup)} AS cell, toUInt32({rollup.day}) AS day, count() AS changed
FROM {database}.{rollup.source}
WHERE {rollup.stored} > since
GROUP BY cell, day
ORDER BY cell, day
"""


def sum_statement(database: str, rollup: Rollup, cells: Sequence[Cell]) -> str:
    """The statement that makes these cells anew."""
    length_ms = rollup.minutes * 60_000
    columns = ["window_start", "window_ms", *_GROUP, "slot_day", "watermark", "closed", *_SUMS]
    group = ["cell", "window_ms", *_GROUP, "day"]
    named = {name: f"p.{name}" for name in _GROUP}
    levels = ""
    length = "p.window_ms"
    if rollup.own:
        columns.insert(0, "level")
        group.insert(0, "level")
        own, of_tools = (str([*names]) for names in (rollup.own, rollup.of_tools))
        levels = f"\nARRAY JOIN if(p.tool IS NULL, {own}, {of_tools}) AS level"
        for name, column in zip(("agent", "version", "model", "tool"), _GROUP, strict=True):
            named[column] = f"if(level IN ('each', '{name}'), p.{column}, NULL)"
        length = "if(level = 'each', p.window_ms, 0)"
    values = [
        *(["level"] if rollup.own else []),
        f"fromUnixTimestamp64Milli(cell * {length_ms}, 'UTC')",
        f"{length} AS window_ms",
        *(f"{value} AS {name}" for name, value in named.items()),
        "toDate(day)",
        "max(p.watermark)",
        "min(p.closed)",
        *(f"sum(p.{name})" for name in _SUMS),
    ]
    for keys, counts in _MAPS:
        columns += [keys, counts]
        values += [f"(sumMap(p.{keys}, p.{counts}) AS {keys}_map).1", f"{keys}_map.2"]
    wanted = ", ".join(f"({cell}, {day})" for cell, day in cells)
    first, last = min(cell for cell, _ in cells), max(cell for cell, _ in cells)
    return f"""
INSERT INTO {database}.{rollup.target} ({", ".join(columns)}, {rollup.made})
SELECT {", ".join(values)}, now64(3)
FROM
(
    SELECT *, {_cell(rollup)} AS cell, toUInt32({rollup.day}) AS day
    FROM {database}.{rollup.source} FINAL
    WHERE window_start >= fromUnixTimestamp64Milli({first * length_ms})
      AND window_start < fromUnixTimestamp64Milli({(last + 1) * length_ms})
) AS p{levels}
WHERE (cell, day) IN ({wanted})
GROUP BY {", ".join(group)}
SETTINGS max_partitions_per_insert_block = 0
"""


def _cell(rollup: Rollup) -> str:
    return f"intDiv(toUnixTimestamp64Milli(window_start), {rollup.minutes * 60_000})"


def keep_rolling(settings: Settings, stop: threading.Event, every_s: float = EVERY_S) -> None:
    """Does so every `every_s` seconds until `stop` is set; what fails is tried again the next time."""
    trouble = Trouble(log, "summing up", time.monotonic)
    while not stop.wait(every_s):
        try:
            client = connect(settings)
            try:
                roll_up(client, settings)
            finally:
                client.close()
        except StoreError as error:
            trouble.begin(f"nothing is summed up: {error}")
        else:
            trouble.end()
