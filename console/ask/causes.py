"""What changed as trouble began: new versions, prompts, tool sets and models; tools that fail; retries; how runs stop.

Evidence, not proof: each is said as it was seen, before the onset and after it, and the reader judges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ...sinks.query import Reader, Row
from .evidence import Around
from .incidents import IncidentLine
from .span import DAY_MS, HOUR_MS, MINUTE_MS

Kind = Literal["version", "model", "prompt", "tools", "failing", "attempts", "slow", "stops"]

BEFORE_MS: Final = HOUR_MS
"""How long before the onset is held against what came after it, at most."""
NEW_MS: Final = 30 * MINUTE_MS
"""What was first seen so long before the onset, or later, is new."""
KNOWN_MS: Final = 7 * DAY_MS
"""A version that was seen within that time before is not new."""
_LEAST_CALLS: Final = 20
_MOST_TOOLS: Final = 3
_SHORT: Final = 12
"""Digits of a hash that are shown."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that changed, in a sentence; the likeliest come first."""

    kind: Kind
    sentence: str
    at_ms: int | None = None
    """When it was first seen, where it is a thing that began."""
    agent: str | None = None
    version: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """How runs stopped: shares of those that did, before the onset and since."""

    reason: str
    before: float
    since: float
    runs: int
    """Since."""


def causes(reader: Reader, line: IncidentLine, time: Around) -> list[Cause]:
    """What changed. Raises `StoreError`."""
    agents = _agents(reader, line, time)
    if not agents:
        return []
    found = [*_tools(reader, line, agents, time), *_new(reader, agents, time, line.opened_ms)]
    order: tuple[Kind, ...] = ("version", "attempts", "failing", "prompt", "tools", "model", "slow", "stops")
    return sorted(found, key=lambda cause: order.index(cause.kind))


def stops(reader: Reader, line: IncidentLine, time: Around, most: int = 6) -> list[Shift]:
    """How the agents' runs stopped, what changed most first. Raises `StoreError`."""
    agents = _agents(reader, line, time)
    rows = reader.rows(
        _STOPS, agents=agents, from_ms=_begin(time), onset_ms=time.onset_ms, until_ms=max(time.until_ms, line.latest_ms)
    )
    before = {row["reason"]: int(row["before"]) for row in rows}
    since = {row["reason"]: int(row["since"]) for row in rows}
    all_before, all_since = sum(before.values()), sum(since.values())
    found = [
        Shift(
            reason,
            before[reason] / all_before if all_before else 0.0,
            since[reason] / all_since if all_since else 0.0,
            since[reason],
        )
        for reason in before
    ]
    found.sort(key=lambda shift: (-abs(shift.since - shift.before), -shift.runs, shift.reason))
    return found[:most]


def _begin(time: Around) -> int:
    return max(time.from_ms, time.onset_ms - BEFORE_MS)


def _agents(reader: Reader, line: IncidentLine, time: Around) -> list[str]:
    """Who is hit: the incident's agent; where it is several, those that call its tool."""
    if line.agent != "*":
        return [line.agent]
    rows = reader.rows(
        _CALLERS, tool=line.tool or "", has_tool=line.tool is not None, from_ms=time.from_ms, to_ms=time.until_ms
    )
    return [row["agent"] for row in rows]


# -- what is new -------------------------------------------------------------------------------------


def _new(reader: Reader, agents: Sequence[str], time: Around, opened_ms: int) -> list[Cause]:
    """Versions and the like that were first seen shortly before the onset, or while the trouble began."""
    rows = reader.rows(_SEEN, agents=agents, from_ms=time.onset_ms - 2 * HOUR_MS, to_ms=max(time.until_ms, opened_ms))
    known = reader.rows(
        _KNOWN, agents=agents, from_ms=time.onset_ms - KNOWN_MS, to_ms=time.onset_ms - NEW_MS - MINUTE_MS
    )
    fields: tuple[tuple[str, Kind], ...] = (
        ("agent_version", "version"), ("model", "model"), ("prompt_sha", "prompt"), ("tools_sha", "tools"),
    )  # fmt: skip
    old = {(row["agent"], field, row[field]) for row in known for field in ("agent_version", "model")}
    causes: list[Cause] = []
    for field, kind in fields:
        for agent, value, first_ms, runs in _firsts(rows, field):
            began = min(row["first_ms"] for row in rows if row["agent"] == agent)
            is_new = time.onset_ms - NEW_MS <= first_ms <= opened_ms and began < first_ms
            if is_new and (agent, field, value) not in old:
                named = value if kind in ("version", "model") else f"{value[:_SHORT]}…"
                causes.append(_first_seen(kind, agent, named, first_ms, time.onset_ms, runs))
    versioned = {cause.agent for cause in causes if cause.kind == "version"}
    # A prompt that came with a version is that version's: said once.
    return [cause for cause in causes if cause.kind == "version" or cause.agent not in versioned]


def _firsts(rows: Iterable[Row], field: str) -> list[tuple[str, str, int, int]]:
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rows:
        if (value := row[field]) is None:
            continue
        at, runs = first.get((row["agent"], value), (row["first_ms"], 0))
        first[row["agent"], value] = min(at, row["first_ms"]), runs + int(row["runs"])
    return [(agent, value, at, runs) for (agent, value), (at, runs) in first.items()]


_CALLED: Final[dict[str, str]] = {
    "version": "Version {value} of {agent}",
    "model": "The model {value}",
    "prompt": "Prompt {value} of {agent}",
    "tools": "The set of tools {value} of {agent}",
}


def _first_seen(kind: Kind, agent: str, value: str, first_ms: int, onset_ms: int, runs: int) -> Cause:
    name = _CALLED[kind].format(value=value, agent=agent)
    away = onset_ms - first_ms
    when = (
        "as the trouble began" if abs(away) < MINUTE_MS
        else f"{round(abs(away) / MINUTE_MS)} min {'before the onset' if away > 0 else 'after the onset'}"
    )  # fmt: skip
    version = value if kind == "version" else None
    return Cause(
        kind, f"{name} was first seen {when}; {runs:,} run{'' if runs == 1 else 's'} so far.", first_ms, agent, version
    )


# -- what tools do -----------------------------------------------------------------------------------


def _tools(reader: Reader, line: IncidentLine, agents: Sequence[str], time: Around) -> list[Cause]:
    """Tools that fail more than before, with what; and calls that are tried again more often than before."""
    rows = reader.rows(
        _CALLS, agents=agents, from_ms=_begin(time), onset_ms=time.onset_ms, until_ms=max(time.until_ms, line.latest_ms)
    )
    by_tool: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_tool[row["tool"]].append(row)
    worse: list[tuple[float, Cause]] = []
    for tool, its in by_tool.items():
        calls, failed = _sum(its, "calls_since"), _sum(its, "calls_since", failed=True)
        calls_before, failed_before = _sum(its, "calls_before"), _sum(its, "calls_before", failed=True)
        if calls < _LEAST_CALLS and tool != line.tool:
            continue
        share, usual = failed / calls if calls else 0.0, failed_before / calls_before if calls_before else None
        if failed >= 3 and share >= max(0.05, 2 * (usual or 0.0)):
            before = "" if usual is None else f" (before: {_percent(usual)})"
            sentence = f"{_percent(share)} of the {calls:,} calls of {tool} fail{before}, mostly with {_how(its)}."
            worse.append((failed - (usual or 0.0) * calls, Cause("failing", sentence, tool=tool)))
    worse.sort(key=lambda each: -each[0])
    return [*(cause for _, cause in worse[:_MOST_TOOLS]), *_attempts(by_tool)]


def _attempts(by_tool: dict[str, list[Row]]) -> list[Cause]:
    raised: list[tuple[int, Cause]] = []
    for tool, its in by_tool.items():
        before = max((int(row["tries_before"]) for row in its), default=0)
        since = max((int(row["tries_since"]) for row in its), default=0)
        if before and since >= before + 2:
            sentence = f"Calls of {tool} are tried up to {since} times now (before: up to {before})."
            raised.append((since - before, Cause("attempts", sentence, tool=tool)))
    raised.sort(key=lambda each: -each[0])
    return [cause for _, cause in raised[:1]]


def _sum(rows: Iterable[Row], column: str, *, failed: bool = False) -> int:
    return sum(int(row[column]) for row in rows if not failed or row["has_failed"])


def _how(rows: Iterable[Row]) -> str:
    """The most frequent errors: `HTTPStatusError 429 and 503`."""
    count: dict[str, int] = defaultdict(int)
    statuses: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        if row["has_failed"]:
            name = row["error"] or "an error"
            count[name] += int(row["calls_since"])
            if row["http_status"] is not None:
                statuses[name][row["http_status"]] += int(row["calls_since"])
    name = max(count, key=lambda each: (count[each], each))
    # What makes less than a tenth is noise.
    told = [str(code) for code, n in sorted(statuses[name].items(), key=lambda each: -each[1]) if n >= count[name] / 10]
    return f"{name} {' and '.join(told)}" if told else name


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or not share else f"{share:.1%}"


# -- SQL ---------------------------------------------------------------------------------------------

_TIME: Final = (
    "{column} >= fromUnixTimestamp64Milli({{from_ms:Int64}}) AND {column} < fromUnixTimestamp64Milli({{{to}:Int64}})"
)

_CALLERS: Final = f"""
SELECT agent FROM window_parts_stored
WHERE {_TIME.format(column="window_start", to="to_ms")}
  AND if({{has_tool:Bool}}, tool = {{tool:String}}, tool IS NULL)
GROUP BY agent ORDER BY sum(tool_errors) DESC, agent LIMIT 20
"""

# The first event of each combination. Every copy of an event has the same time.
_SEEN: Final = f"""
SELECT
    agent, agent_version, model, prompt_sha, tools_sha, toUnixTimestamp64Milli(min(ts)) AS first_ms,
    uniqExact(run_id) AS runs
FROM events_stored
WHERE agent IN {{agents:Array(String)}} AND {_TIME.format(column="ts", to="to_ms")}
GROUP BY agent, agent_version, model, prompt_sha, tools_sha
LIMIT 10000
"""

_KNOWN: Final = f"""
SELECT DISTINCT agent, agent_version, model FROM window_parts_stored
WHERE agent IN {{agents:Array(String)}} AND tool IS NULL AND {_TIME.format(column="window_start", to="to_ms")}
"""

# Calls that a guard refused say nothing of a tool: their events have a stop reason.
_CALLS: Final = f"""
SELECT
    assumeNotNull(tool) AS tool, status = 'error' AS has_failed, if(has_failed, error, NULL) AS error,
    if(has_failed, http_status, NULL) AS http_status,
    countIf(ts < fromUnixTimestamp64Milli({{onset_ms:Int64}})) AS calls_before,
    countIf(ts >= fromUnixTimestamp64Milli({{onset_ms:Int64}})) AS calls_since,
    maxIf(ifNull(attempt, 1), ts < fromUnixTimestamp64Milli({{onset_ms:Int64}})) AS tries_before,
    maxIf(ifNull(attempt, 1), ts >= fromUnixTimestamp64Milli({{onset_ms:Int64}})) AS tries_since
FROM events_stored AS e
WHERE agent IN {{agents:Array(String)}} AND kind = 'tool_result' AND stop_reason IS NULL AND e.tool IS NOT NULL
  AND {_TIME.format(column="ts", to="until_ms")}
GROUP BY 1, 2, 3, 4
ORDER BY calls_since DESC
LIMIT 10000
"""

_STOPS: Final = f"""
SELECT
    reason,
    sumIf(runs, window_start < fromUnixTimestamp64Milli({{onset_ms:Int64}})) AS before,
    sumIf(runs, window_start >= fromUnixTimestamp64Milli({{onset_ms:Int64}})) AS since
FROM window_parts ARRAY JOIN stop_reasons AS reason, stop_reason_counts AS runs
WHERE agent IN {{agents:Array(String)}} AND tool IS NULL AND {_TIME.format(column="window_start", to="until_ms")}
GROUP BY reason
"""
