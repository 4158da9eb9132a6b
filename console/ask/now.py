"""What is wrong now, for who has a few seconds: the worst first, with the version it is in and why its runs stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...schemas.reasons import SUCCESS
from ...sinks.query import Reader
from .causes import stops
from .evidence import around
from .incidents import IncidentLine, Wanted, incidents
from .span import MINUTE_MS

MOST: Final = 5
LOOKED_MS: Final = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Wrong:
    """An open incident, and what to know of it at once."""

    line: IncidentLine
    version: str | None
    """The episode's own; else that of most runs of its agent since the onset."""
    stop_reason: str | None
    """Why more runs stop than before; None where none does."""
    stop_share: float
    """Of the runs since the onset."""
    stop_before: float


@dataclass(frozen=True, slots=True)
class Now:
    """What is open, the worst first, and what was looked at."""

    wrong: list[Wrong]
    total: int
    agents: int
    """That were heard of in the last minutes; 0 where nothing was stored."""
    runs: int
    """That began in them."""
    looked_ms: int
    """How long these minutes are."""
    is_empty: bool
    """Whether no event was ever stored."""


def now(reader: Reader, now_ms: int, most: int = MOST) -> Now:
    """What is wrong at `now_ms` (wall clock). Raises `StoreError`."""
    found = incidents(reader, Wanted(is_open=True), "worst", most)
    seen = reader.rows(_LOOKED, after_ms=now_ms - LOOKED_MS)[0]
    return Now(
        [_wrong(reader, line, now_ms) for line in found.lines],
        found.total,
        int(seen["agents"]),
        int(seen["runs"]),
        LOOKED_MS,
        not found.lines and not seen["agents"] and not reader.rows(_ANY)[0]["any"],
    )


def _wrong(reader: Reader, line: IncidentLine, now_ms: int) -> Wrong:
    version = line.agent_version if not line.is_group else None
    if version is None and line.agent != "*":
        rows = reader.rows(_VERSION, agent=line.agent, from_ms=line.onset_ms)
        version = rows[0]["agent_version"] if rows else None
    risen = [
        shift
        for shift in stops(reader, line, around(line, now_ms))
        if shift.reason != SUCCESS and shift.since > shift.before
    ]
    top = max(risen, key=lambda shift: shift.since - shift.before, default=None)
    if top is None or top.since - top.before < _LEAST_RISE:
        return Wrong(line, version, None, 0.0, 0.0)
    return Wrong(line, version, top.reason, top.since, top.before)


_LEAST_RISE: Final = 0.02
"""Smaller changes are chance."""

_VERSION: Final = """
SELECT agent_version FROM window_parts_stored
WHERE agent = {agent:String} AND tool IS NULL AND window_start >= fromUnixTimestamp64Milli({from_ms:Int64})
GROUP BY agent_version ORDER BY sum(runs_started) DESC, agent_version LIMIT 1
"""

# By the time of storing: what is imported or simulated has clocks of its own.
_LOOKED: Final = """
SELECT uniqExact(agent) AS agents, uniqExactIf(run_id, kind = 'start' OR seq = 0) AS runs
FROM events_stored
WHERE ingested_at >= fromUnixTimestamp64Milli({after_ms:Int64})
"""

_ANY: Final = "SELECT count() > 0 AS any FROM (SELECT 1 FROM events_stored LIMIT 1)"
