"""What the fleet does: series over time, split by what, a row an agent, and what there is to choose from.

Everything here is a question to a `Reader`, made of sums that the sink keeps (see `cells`): no event is read.
Times are epoch milliseconds. Where nothing is known there is None: means, shares and latencies of a stretch in which
nothing happened; and everything before the first that is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...sinks.query import Reader
from .cells import NONE, Asked, Frontier, frontier, totals
from .measures import MEASURES, SKETCHES, SUMS, Measure, minutes_of
from .span import DIMENSIONS, HOUR_MS, Dimension, Filter, Span, step_ms
from .trouble import Incidents, distance, open_incidents
from .usual import Band, usual

__all__ = [
    "DIMENSIONS", "MEASURES", "NONE", "AgentRow", "Band", "Choices", "Dimension", "Filter", "FleetSeries", "Line",
    "Span", "agents", "choices", "fleet_by", "fleet_series", "newest_ms", "step_ms",
]  # fmt: skip

MOST_REASONS = 12
_OF_AGENTS = ("tool_calls_p95", "latency_p95_ms")
OTHER = "(other)"
"""Stands for the reasons beyond the most frequent ones."""
_LEAST_MS = 20_000
"""Of a stretch that has only begun, nothing is said a minute: the newest seconds are still on their way."""


@dataclass(frozen=True, slots=True)
class FleetSeries:
    """The fleet, or a part of it, over time; all lists are as long as `starts_ms`."""

    starts_ms: list[int]
    step_ms: int
    lines: dict[str, list[float | None]]
    """By the names of `MEASURES`. A tool has only those that are its own: the others are None throughout."""
    stop_reasons: dict[str, list[int]]
    """Runs that ended so, the most frequent reasons first."""
    baseline: dict[str, Band]
    """What is usual at that hour; only of lines and hours of which enough days are known."""
    stored_from_ms: int | None
    """When the first that is stored happened; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Line:
    """One of several: an agent, a version, a model or a tool."""

    name: str
    values: list[float | None]
    weight: float
    """What it was chosen by: its runs, calls, tokens or spend within the span."""


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent within the span."""

    agent: str
    versions: list[str]
    runs: int
    tool_calls_mean: float | None
    tool_calls_p95: float | None
    tokens: int
    spend: float
    latency_p95_ms: float | None
    retries: float | None
    success: float | None
    stop_reason: str | None
    """The most frequent one."""
    incidents: int
    """Open ones, whenever they began."""
    severity: str | None
    """The worst of these."""
    last_seen_ms: int
    distance: float
    """How many times worse than usual its worst figure is; 1 where it is as usual or that is not known."""
    trouble: int
    """Its place: 0 is the agent in most trouble."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What was seen within the span, the most used first."""

    agents: list[str]
    versions: list[str]
    models: list[str]
    tools: list[str]


def fleet_series(reader: Reader, span: Span, only: Filter) -> FleetSeries:
    """Every line of the fleet over time. Raises `StoreError`."""
    step = step_ms(span)
    starts = _starts(span, step)
    known = frontier(reader, span.to_ms)
    asked = Asked(starts[0], span.to_ms, step, only.given, reasons=True)
    found = _Found({row["start_ms"]: row for row in totals(reader, asked, known)}, starts, step, span.to_ms, known)
    of_tool = only.tool is not None
    return FleetSeries(
        starts,
        step,
        {name: found.line(name, of_tool) for name in MEASURES},
        _reasons(starts, found.by_start),
        usual(reader, starts, step, only.given, known),
        known.since_ms,
    )


def fleet_by(reader: Reader, span: Span, only: Filter, dimension: Dimension, metric: str, top: int = 8) -> list[Line]:
    """One line of the fleet, by agent, version, model or tool: of the biggest, the biggest first.

    No lines where a metric is not a tool's. Raises `ValueError` for a metric or dimension that there is none of,
    and `StoreError`.
    """
    if metric not in MEASURES or dimension not in DIMENSIONS:
        raise ValueError(f"There is no {metric!r} by {dimension!r}")
    measure = MEASURES[metric]
    of_tool = dimension == "tool" or only.tool is not None
    if of_tool and not measure.of_tools:
        return []
    step = step_ms(span)
    starts = _starts(span, step)
    whole = Asked(starts[0], span.to_ms, 0, only.given, dimension, sums=(measure.weight,), sketches=())
    known = frontier(reader, span.to_ms)
    weights = {row["name"]: float(row[measure.weight]) for row in totals(reader, whole, known)}
    names = sorted((name for name in weights if weights[name]), key=lambda name: (-weights[name], name))[:top]
    if not names:
        return []
    sketches = [metric] if metric in SKETCHES else []
    asked = Asked(starts[0], span.to_ms, step, only.given, dimension, names, sketches=sketches)
    by_name: dict[str, dict[int, Mapping[str, Any]]] = {name: {} for name in names}
    for row in totals(reader, asked, known):
        by_name[row["name"]][row["start_ms"]] = row
    return [
        Line(name, _Found(by_name[name], starts, step, span.to_ms, known).line(metric, of_tool), weights[name])
        for name in names
    ]


def agents(reader: Reader, span: Span, only: Filter) -> list[AgentRow]:
    """A row an agent that did anything, or has an open incident; those in most trouble first.

    Trouble, in this order: open critical incidents, open warnings, how far from usual, runs. Raises `StoreError`.
    """
    from_ms = _starts(span, step_ms(span))[0]
    given = only.given
    known = frontier(reader, span.to_ms)
    asked = Asked(
        from_ms, span.to_ms, 0, given, "agent", sums=(*SUMS, "run_ms_sum"), sketches=_OF_AGENTS, reasons=True, seen=True
    )
    found = {row["name"]: row for row in totals(reader, asked, known)}
    incidents = open_incidents(reader, only.agent)
    versions = _versions(reader, from_ms, span.to_ms, known)
    # Those of the whole fleet belong to no agent.
    names = {*found, *(name for name in incidents if name != "*")} if not given.keys() - {"agent"} else {*found}
    far = distance(reader, span, found.values(), given, known)
    rows = [
        _agent_row(name, found.get(name), incidents.get(name, Incidents()), versions.get(name, []), far.get(name, 1.0))
        for name in names
    ]
    order = {name: incidents.get(name, Incidents()).order for name in names}
    rows.sort(key=lambda row: (*(-count for count in order[row.agent]), -row.distance, -row.runs, row.agent))
    return [replace(row, trouble=place) for place, row in enumerate(rows)]


def choices(reader: Reader, span: Span, most: int = 500) -> Choices:
    """What there is to choose from, `most` of each at most, by how much was done. Raises `StoreError`."""
    from_ms = _starts(span, step_ms(span))[0]
    known = frontier(reader, span.to_ms)
    found: dict[str, list[str]] = {name: [] for name in DIMENSIONS}
    hour_ms = max(min(known.live_ms, span.to_ms), from_ms) // HOUR_MS * HOUR_MS
    rows = reader.rows(_CHOICES, from_ms=from_ms, hour_ms=hour_ms, to_ms=span.to_ms, most=most)
    for row in rows:
        found[row["level"]].append(row["name"])
    return Choices(found["agent"], found["version"], found["model"], found["tool"])


def newest_ms(reader: Reader) -> int | None:
    """When the newest events were stored; None where none are. Raises `StoreError`."""
    found = reader.rows(_NEWEST)[0]["newest_ms"]
    return found or None


# -- the parts of answers ----------------------------------------------------------------------------

_NEWEST = """
SELECT max(toUnixTimestamp64Milli(ingested_at)) AS newest_ms
FROM window_parts_stored
WHERE toDate(ingested_at) >= (SELECT max(toDate(ingested_at)) FROM window_parts_stored)
"""

# Hours that began before the span count in full, and sums that were just replaced may count twice: it is an order.
_CHOICES = """
SELECT level, name
FROM
(
    SELECT level, CAST(coalesce(agent, agent_version, model, tool), 'Nullable(String)') AS name, events
    FROM fleet_hours_stored
    WHERE level IN ('agent', 'version', 'model', 'tool')
      AND window_start > fromUnixTimestamp64Milli({from_ms:Int64} - 3600000)
      AND window_start < fromUnixTimestamp64Milli({hour_ms:Int64})
    UNION ALL
    SELECT
        named.1 AS level, CAST(named.2, 'Nullable(String)') AS name, events
    FROM window_parts_stored
    ARRAY JOIN if(
        tool IS NULL,
        [('agent', toNullable(toString(agent))), ('version', toString(agent_version)), ('model', toString(model))],
        [('tool', toString(tool))]
    ) AS named
    WHERE window_start >= fromUnixTimestamp64Milli(greatest({hour_ms:Int64}, {from_ms:Int64}))
      AND window_start < fromUnixTimestamp64Milli({to_ms:Int64})
)
WHERE name IS NOT NULL
GROUP BY level, name
ORDER BY sum(events) DESC, name
LIMIT {most:UInt32} BY level
"""

_VERSIONS = """
SELECT agent, groupUniqArray(50)(version) AS versions
FROM
(
    SELECT toString(agent) AS agent, toString(agent_version) AS version FROM hours_stored
    WHERE window_start >= fromUnixTimestamp64Milli({from_ms:Int64})
      AND window_start < fromUnixTimestamp64Milli({hour_ms:Int64}) AND tool IS NULL
    UNION ALL
    SELECT toString(agent) AS agent, toString(agent_version) AS version FROM window_parts_stored
    WHERE window_start >= fromUnixTimestamp64Milli(greatest({hour_ms:Int64}, {from_ms:Int64}))
      AND window_start < fromUnixTimestamp64Milli({to_ms:Int64}) AND tool IS NULL
)
GROUP BY agent
"""


def _versions(reader: Reader, from_ms: int, to_ms: int, known: Frontier) -> dict[str, list[str]]:
    """The versions of each agent; those of the first hour only where it lies wholly in the span, or is the last."""
    hour_ms = max(min(known.live_ms, to_ms), from_ms) // HOUR_MS * HOUR_MS
    rows = reader.rows(_VERSIONS, from_ms=from_ms, hour_ms=hour_ms, to_ms=to_ms)
    return {row["agent"]: sorted(row["versions"]) for row in rows}


def _starts(span: Span, step: int) -> list[int]:
    """Where the steps of a span begin; the first may begin before it."""
    return list(range(span.from_ms // step * step, span.to_ms, step)) or [span.from_ms // step * step]


@dataclass(frozen=True, slots=True)
class _Found:
    """The totals of the steps in which anything happened."""

    by_start: Mapping[int, Mapping[str, Any]]
    starts: Sequence[int]
    step: int
    to_ms: int
    known: Frontier

    def line(self, name: str, of_tool: bool) -> list[float | None]:
        """A line's values."""
        measure = MEASURES[name]
        if of_tool and not measure.of_tools:
            return [None] * len(self.starts)
        return [self._value(measure, start) for start in self.starts]

    def _value(self, measure: Measure, start: int) -> float | None:
        since = self.known.since_ms
        end = min(start + self.step, self.to_ms)
        if since is None or end <= since or (measure.is_rate and end - start < _LEAST_MS):
            return None
        row = self.by_start.get(start)
        if row is None:
            return 0.0 if measure.is_rate else None
        found = measure.value(row, minutes_of(max(start, since), end))
        return None if found is None else float(found)


def _reasons(starts: Sequence[int], by_start: Mapping[int, Mapping[str, Any]]) -> dict[str, list[int]]:
    counts: Counter[str] = Counter()
    for row in by_start.values():
        counts.update(row["reasons"])
    names = [name for name, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    shown, others = (
        (names, []) if len(names) <= MOST_REASONS else (names[: MOST_REASONS - 1], names[MOST_REASONS - 1 :])
    )
    of = [by_start[start]["reasons"] if start in by_start else {} for start in starts]
    found = {name: [int(each.get(name, 0)) for each in of] for name in shown}
    if others:
        found[OTHER] = [sum(int(each.get(name, 0)) for name in others) for each in of]
    return found


def _agent_row(
    name: str, row: Mapping[str, Any] | None, incidents: Incidents, versions: list[str], far: float
) -> AgentRow:
    t: Mapping[str, Any] = row or {**dict.fromkeys(SUMS, 0), **dict.fromkeys(_OF_AGENTS), "reasons": {}}
    reasons = sorted(t["reasons"].items(), key=lambda each: (-each[1], each[0]))
    return AgentRow(
        agent=name,
        versions=versions,
        runs=int(t["runs_started"]),
        tool_calls_mean=MEASURES["tool_calls_mean"].value(t, 1.0),
        tool_calls_p95=t["tool_calls_p95"],
        tokens=int(t["input_tokens"] + t["output_tokens"]),
        spend=float(t["cost_usd"]),
        latency_p95_ms=t["latency_p95_ms"],
        retries=MEASURES["retries"].value(t, 1.0),
        success=MEASURES["success"].value(t, 1.0),
        stop_reason=reasons[0][0] if reasons else None,
        incidents=incidents.open,
        severity=incidents.severity,
        last_seen_ms=row["seen_ms"] if row else incidents.last_ms,
        distance=far,
        trouble=0,
    )
