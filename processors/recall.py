"""What ClickHouse knows of the time before a worker began: hours, and drift episodes. Read in a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import Settings
from ..schemas.anomalies import Anomaly
from .drift import DriftRules
from .drift.memory import Hour, Past
from .drift.metrics import AGENT_METRICS
from .drift.track import least_of
from .merge import Share
from .windows import METRICS, SUMS

TIMEOUT_S = 20.0
"""Bounds one query."""
MOST_ROWS = 500_000
"""Hours that are read at the most, the latest first: 1,500 agents' two weeks."""
SILENT_S = 7_200
"""An agent of which nothing was stored for so long has fallen silent."""

_HOURS = f"""
SELECT agent, intDiv(toUnixTimestamp(window_start), 3600) AS hour,
    {", ".join(f"sum(h.{name}) AS {name}" for name in SUMS)},
    {", ".join(f"sumMap(h.{name}_sketch) AS {name}" for name in METRICS)},
    {", ".join(f"arraySum({name}.2) AS {name}_count" for name in METRICS)},
    {", ".join(f"runwatch_quantile({name}, 0.95) AS {name}_p95" for name in METRICS)}
FROM hourly_metrics AS h
WHERE tool IS NULL AND window_start >= now() - toIntervalDay({{days:UInt32}}) AND window_start < toStartOfHour(now())
GROUP BY agent, hour
ORDER BY hour DESC
LIMIT {MOST_ROWS}
"""

_EPISODES = """
SELECT anomaly_id, rule, state, severity, ts_ms, toUnixTimestamp64Milli(onset) AS onset_ms,
    toUnixTimestamp64Milli(opened) AS opened_ms, agent, agent_version, tool, value, baseline, message
FROM anomalies
WHERE startsWith(rule, 'drift.') AND (state != 'resolved' OR ts >= now() - toIntervalDay({days:UInt32}))
ORDER BY ts_ms, anomaly_id
LIMIT 100000
"""

_LAST_HEARD = """
SELECT agent, toUnixTimestamp64Milli(max(window_start)) + max(window_ms) AS end_ms
FROM window_parts_stored
WHERE agent IN {agents:Array(String)}
GROUP BY agent
HAVING max(ingested_at) < now() - toIntervalSecond({silent_s:UInt32})
"""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was stored."""

    hours: Mapping[str, Sequence[Hour]]
    episodes: Sequence[Past]
    orphans: Sequence[Anomaly]
    """Ends of the open episodes of agents that fell silent while nobody watched."""


def recall(settings: Settings, rules: DriftRules) -> Recalled:
    """Asks ClickHouse. Raises `StoreError`, and `ImportError` where its client is not installed."""
    # Here, since processors do without ClickHouse where they must.
    from ..clickhouse import connect, told

    client = connect(settings, timeout_s=TIMEOUT_S, max_execution_time=TIMEOUT_S)
    try:
        with told(settings):
            client.database = settings.database
            hours = client.query(_HOURS, parameters={"days": rules.days + 1})
            found = client.query(_EPISODES, parameters={"days": rules.days + 1})
            episodes = [past_of(row) for row in found.named_results()]
            silent = _silent(client, episodes)
            return Recalled(
                hours_of(hours.named_results(), rules), episodes, [ended(one.anomaly, silent) for one in episodes
                if one.is_open and one.anomaly.agent in silent]
            )  # fmt: skip
    finally:
        client.close()


def hours_of(rows: Any, rules: DriftRules) -> dict[str, list[Hour]]:
    """The hours of each agent, by rows of `_HOURS`."""
    hours: dict[str, list[Hour]] = {}
    for row in rows:
        totals = Share(
            {name: row[name] for name in SUMS},
            # Of a sketch, how much is in it is all that sums are divided by.
            {name: {0: row[f"{name}_count"]} for name in METRICS},
        )
        levels: dict[str, tuple[float, int]] = {}
        for metric in AGENT_METRICS:
            if metric.sums is not None:
                total, weight = metric.sums(totals)
                value = total / weight if weight else None
            else:
                value, weight = row[f"{metric.sketched}_p95"], row[f"{metric.sketched}_count"]
            count = int(weight // least_of(metric, rules))
            if value is not None and count:
                levels[metric.name] = (metric.level(value), count)
        hours.setdefault(row["agent"], []).append(Hour(row["hour"], levels))
    return hours


def past_of(row: Mapping[str, Any]) -> Past:
    """An episode, by a row of `_EPISODES`."""
    names = ("anomaly_id", "rule", "state", "severity", "ts_ms", "onset_ms", "agent", "agent_version", "tool")
    own = {name: row[name] for name in (*names, "value", "baseline", "message")}
    return Past(Anomaly(**own), row["opened_ms"])


def ended(opened: Anomaly, silent: Mapping[str, int]) -> Anomaly:
    """The end of an episode whose agent fell silent at that time: the same, whoever says it, and when."""
    return Anomaly(
        anomaly_id=opened.anomaly_id,
        rule=opened.rule,
        state="resolved",
        severity=opened.severity,
        ts_ms=max(silent[opened.agent], opened.ts_ms),
        onset_ms=opened.onset_ms,
        agent=opened.agent,
        agent_version=opened.agent_version,
        tool=opened.tool,
        value=opened.value,
        baseline=opened.baseline,
        message=f"{opened.agent} was not heard of any more, while {opened.rule} was open.",
    )


def _silent(client: Any, episodes: Sequence[Past]) -> dict[str, int]:
    agents = sorted({one.anomaly.agent for one in episodes if one.is_open})
    if not agents:
        return {}
    rows = client.query(_LAST_HEARD, parameters={"agents": agents, "silent_s": SILENT_S})
    return {agent: int(end_ms) for agent, end_ms in rows.result_rows}
