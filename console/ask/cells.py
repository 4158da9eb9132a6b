"""Sums of any stretch of time and part of the fleet, from the coarsest stored sums that tell it apart.

Three tables follow one another in time: hours for steps of an hour and more, five minutes up to what was rolled up
last, and the window parts themselves for what is newer, so that a page is never behind its data. A filter on one
dimension is answered from that dimension's own sums; of several together the sums of each group are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...sinks.query import Reader
from .measures import SKETCHES, SUMS
from .span import FIVE_MS, HOUR_MS, Dimension

COLUMNS: Mapping[Dimension, str] = {"agent": "agent", "version": "agent_version", "model": "model", "tool": "tool"}
NONE = "(none)"
"""Stands for the version or model of events that name none."""

_PARTS, _FIVES, _FLEET_HOURS, _HOURS = (
    "window_parts_stored",
    "five_minutes_stored",
    "fleet_hours_stored",
    "hours_stored",
)
_LATE_MS = 2 * FIVE_MS
"""What came so late after the newest sums were made may still be missing in them."""

# The newest five minutes that have sums, whatever clocks are ahead, of the last day that was summed up: where history
# is imported an older one may come out, which costs time and is no less right.
_FRONTIER = """
SELECT
    (
        SELECT toUnixTimestamp64Milli(max(window_start)) FROM five_minutes_stored
        WHERE level = 'all' AND slot_day >= (SELECT max(slot_day) FROM five_minutes_stored) - 1
          AND window_start < fromUnixTimestamp64Milli({before_ms:Int64})
    ) AS newest_ms,
    (SELECT toUnixTimestamp64Milli(minOrNull(window_start)) FROM fleet_hours_stored WHERE level = 'all') AS since_ms
"""
_SINCE = "SELECT toUnixTimestamp64Milli(minOrNull(window_start)) AS since_ms FROM window_parts_stored"


@dataclass(frozen=True, slots=True)
class Frontier:
    """Up to when there are sums, and since when anything."""

    live_ms: int
    """From then on window parts are added up; a multiple of five minutes."""
    since_ms: int | None
    """None where nothing is stored."""


def frontier(reader: Reader, to_ms: int) -> Frontier:
    """For questions about what was before `to_ms`. Raises `StoreError`."""
    row = reader.rows(_FRONTIER, before_ms=to_ms + 2 * _LATE_MS)[0]
    newest_ms, since_ms = row["newest_ms"], row["since_ms"]
    if since_ms is None:
        since_ms = reader.rows(_SINCE)[0]["since_ms"]
    return Frontier(newest_ms - _LATE_MS if newest_ms else 0, since_ms)


@dataclass(frozen=True, slots=True)
class Asked:
    """Sums of which time, in which steps, of which part of the fleet, told apart by what."""

    from_ms: int
    to_ms: int
    step_ms: int
    """0 for the whole as one."""
    given: Mapping[Dimension, str]
    split: Dimension | None = None
    names: Sequence[str] | None = None
    """Only these of `split`."""
    sums: Sequence[str] = SUMS
    sketches: Sequence[str] = tuple(SKETCHES)
    reasons: bool = False
    """Whether stop reasons are counted too."""
    seen: bool = False
    """Whether it is told when the last of it happened, as `seen_ms`."""
    hours: Sequence[int] | None = None
    """Only these hours of the day, UTC."""


def totals(reader: Reader, asked: Asked, known: Frontier) -> list[dict[str, Any]]:
    """A row a step and name in which anything happened: `start_ms`, `name`, sums, quantiles, `reasons` as a mapping.

    Raises `StoreError`.
    """
    query, parameters = statement(asked, known)
    rows = reader.rows(query, **parameters) if query else []
    for row in rows:
        if asked.reasons:
            row["reasons"] = dict(zip(*row["reasons"], strict=True))
        if asked.split is not None and row["name"] is None:
            row["name"] = NONE
    return rows


def statement(asked: Asked, known: Frontier) -> tuple[str, dict[str, Any]]:
    """The query of `totals` and its parameters, to be asked of or to stand in another; empty where time is."""
    parameters: dict[str, Any] = {f"is_{name}": value for name, value in asked.given.items()}
    if asked.names is not None:
        parameters["names"] = list(asked.names)
    sources = [
        _source(asked, table, from_ms, to_ms) for table, from_ms, to_ms in _tables(asked, known) if from_ms < to_ms
    ]
    if not sources:
        return "", {}
    columns = [f"sum(s.{name}) AS {name}" for name in asked.sums]
    columns += [
        f"runwatch_quantile(sumMap(s.{SKETCHES[name]}_keys, s.{SKETCHES[name]}_counts), 0.95) AS {name}"
        for name in asked.sketches
    ]
    if asked.reasons:
        columns.append("sumMap(s.stop_reasons, s.stop_reason_counts) AS reasons")
    if asked.seen:
        columns.append("toUnixTimestamp64Milli(max(s.watermark)) AS seen_ms")
    source = "\nUNION ALL\n".join(sources)
    return (
        f"SELECT start_ms, name, {', '.join(columns)}\nFROM\n(\n{source}\n) AS s\nGROUP BY start_ms, name",
        parameters,
    )


def _tables(asked: Asked, known: Frontier) -> Iterator[tuple[str, int, int]]:
    """Which table is asked for which time."""
    from_ms, to_ms = asked.from_ms, asked.to_ms
    if (asked.step_ms or to_ms - from_ms) < FIVE_MS:
        yield _PARTS, from_ms, to_ms
        return
    live_ms = min(max(known.live_ms, from_ms), to_ms)
    if from_ms % FIVE_MS:
        # Of five minutes that begin before the span not all are wanted.
        first_ms = min(-(-from_ms // FIVE_MS) * FIVE_MS, live_ms)
        yield _PARTS, from_ms, first_ms
        from_ms = first_ms
    # Hours that lie wholly in it, where these are not to be told apart.
    hours_from_ms = -(-from_ms // HOUR_MS) * HOUR_MS
    hours_to_ms = live_ms // HOUR_MS * HOUR_MS
    if asked.step_ms % HOUR_MS == 0 and hours_from_ms < hours_to_ms:
        yield _FIVES, from_ms, hours_from_ms
        yield (_FLEET_HOURS if _level(asked) != "each" else _HOURS), hours_from_ms, hours_to_ms
        from_ms = hours_to_ms
    yield _FIVES, from_ms, live_ms
    yield _PARTS, live_ms, to_ms


def _level(asked: Asked) -> str:
    """Which sums tell it apart: those of the whole fleet, of one dimension, or of each group."""
    needed = {*asked.given, *((asked.split,) if asked.split else ())}
    return "each" if len(needed) > 1 else next(iter(needed), "all")


def _source(asked: Asked, table: str, from_ms: int, to_ms: int) -> str:
    level = _level(asked)
    start = f"intDiv(toUnixTimestamp64Milli(window_start), {asked.step_ms}) * {asked.step_ms}"
    columns = [
        f"{start if asked.step_ms else 'toInt64(0)'} AS start_ms",
        f"{_text(asked.split) if asked.split else 'NULL'} AS name",
        *asked.sums,
        *(f"{SKETCHES[name]}_{part}" for name in asked.sketches for part in ("keys", "counts")),
    ]
    if asked.reasons:
        columns += ["CAST(stop_reasons, 'Array(String)') AS stop_reasons", "stop_reason_counts"]
    if asked.seen:
        columns.append("watermark")
    where = [
        f"window_start >= fromUnixTimestamp64Milli({from_ms})",
        f"window_start < fromUnixTimestamp64Milli({to_ms})",
        *(f"{COLUMNS[name]} = {{is_{name}:String}}" for name in asked.given),
    ]
    if asked.hours is not None:
        where.append(
            f"intDiv(toUnixTimestamp64Milli(window_start), {HOUR_MS}) % 24 IN ({', '.join(map(str, asked.hours))})"
        )
    if table in (_FIVES, _FLEET_HOURS):
        where.append(f"level = '{level}'")
    if table != _PARTS:
        # Whole days of log time need not be looked at: no clock is ahead of it by more than a day.
        where.append(f"slot_day >= toDate(fromUnixTimestamp64Milli({from_ms})) - 1")
    if level == "each" or table in (_PARTS, _HOURS):
        # A group's own sums count every step; those of its tools count the tools' calls again.
        of_tools = "tool" in (*asked.given, asked.split)
        where.append("tool IS NOT NULL" if of_tools else "tool IS NULL")
    if asked.names is not None and asked.split:
        named = f"{COLUMNS[asked.split]} IN {{names:Array(String)}}"
        where.append(f"({named} OR {COLUMNS[asked.split]} IS NULL)" if NONE in asked.names else named)
    # A key of these has the day of log time, by which they are partitioned; a part's newer version may be elsewhere.
    settings = "" if table == _PARTS else " SETTINGS do_not_merge_across_partitions_select_final = 1"
    return f"SELECT {', '.join(columns)}\nFROM {table} FINAL\nWHERE {' AND '.join(where)}{settings}"


def _text(dimension: Dimension) -> str:
    """A dimension's column as a plain string: the tables have it as different types."""
    return f"CAST({COLUMNS[dimension]}, 'Nullable(String)')"
