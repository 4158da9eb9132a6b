"""Episodes as they stand, one row each, and which of them are still going on.

Drift and fleet episodes are resolved by the processors. A loop is not: its run ends, sooner or later, and whether it
has is known from its events. So a loop is open as long as its run is under way; and what the policy says of itself is
open for the hour that its cap counts.
"""

from __future__ import annotations

from typing import Final

RECENT_MIN: Final = 60
"""A run that has not stopped, and of which something was stored within so many minutes, is under way."""
APART_MIN: Final = 15
"""Loops of an agent in a tool that begin no further apart are one trouble."""

# Of a run that was stored a moment ago the anomaly may be known before the events.
_JUST_S: Final = 60

# run_id, and whether it stopped: runs of loops of which anything was stored lately.
_UNDER_WAY: Final = f"""
SELECT e.run_id AS under_way_id, max(e.kind = 'stop') AS has_stopped
FROM events_stored AS e
WHERE e.ingested_at >= now64(3) - INTERVAL {RECENT_MIN} MINUTE AND e.run_id GLOBAL IN
(
    SELECT assumeNotNull(s.run_id) FROM anomalies_stored AS s
    WHERE startsWith(s.rule, 'loop.') AND s.run_id IS NOT NULL
)
GROUP BY e.run_id
"""

# Without FINAL: copies of a state say the same, but for the clock of who found it.
_EPISODES: Final = """
SELECT
    h.anomaly_id AS anomaly_id,
    any(h.rule) AS rule,
    max(indexOf(['info', 'warning', 'critical'], h.severity)) AS level,
    countIf(h.state = 'resolved') > 0 AS is_resolved,
    toUnixTimestamp64Milli(min(h.onset)) AS onset_ms,
    toUnixTimestamp64Milli(min(h.ts)) AS opened_ms,
    toUnixTimestamp64Milli(max(h.ts)) AS latest_ms,
    toUnixTimestamp64Milli(max(h.ingested_at)) AS stored_ms,
    argMax(
        tuple(h.state, h.agent, h.agent_version, h.model, h.run_id, h.tool, h.value, h.baseline, h.message),
        -- A state never goes back; event time alone may tie.
        tuple(indexOf(['open', 'escalated', 'resolved'], h.state), h.ts)
    ) AS latest
FROM anomalies_stored AS h
{where}
GROUP BY h.anomaly_id
"""


def episodes(where: str = "") -> str:
    """The SQL of all episodes, or of those of which `where` holds (a clause over `anomalies_stored AS h`).

    Columns: anomaly_id, rule, family (`loop`, `drift`, `fleet`, `policy`), level (1 info to 3 critical), is_open,
    state, onset_ms, opened_ms, latest_ms, stored_ms (wall clock), agent, agent_version, model, run_id, tool, value,
    baseline, message.
    """
    inner = _EPISODES.replace("{where}", f"WHERE {where}" if where else "")
    return f"""
SELECT
    anomaly_id, rule, splitByChar('.', rule)[1] AS family, level,
    toBool(multiIf(
        is_resolved, 0,
        family = 'policy', stored_ms > toUnixTimestamp64Milli(now64(3)) - 3600000,
        family != 'loop', 1,
        u.under_way_id != '', NOT u.has_stopped,
        stored_ms > toUnixTimestamp64Milli(now64(3)) - {_JUST_S * 1000}
    )) AS is_open,
    if(NOT is_open, 'resolved', latest.1) AS state,
    onset_ms, opened_ms, latest_ms, stored_ms, latest.2 AS agent, latest.3 AS agent_version, latest.4 AS model,
    latest.5 AS run_id, latest.6 AS tool, latest.7 AS value, latest.8 AS baseline, latest.9 AS message
FROM ({inner}) AS o
GLOBAL LEFT JOIN ({_UNDER_WAY}) AS u ON u.under_way_id = ifNull(latest.5, '-')
"""


OPEN_BY_AGENT: Final = f"""
SELECT
    agent, countIf(level = 3) AS critical, countIf(level = 2) AS warning, count() AS open, max(latest_ms) AS last_ms
FROM ({episodes()})
WHERE is_open AND family != 'policy'
GROUP BY agent
"""
"""Open episodes by agent, `*` for those of several."""
