"""Queries to begin with: what people ask of a fleet, each with a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Example:
    """A query that is kept for everybody."""

    title: str
    sentence: str
    sql: str


EXAMPLES: Final = (
    Example(
        "This hour against last week",
        "Is this hour's average of tool calls a run twice that of the week before?",
        """SELECT
    avgIf(tool_calls, created_at >= now() - INTERVAL 1 HOUR) AS this_hour,
    avgIf(tool_calls, created_at < now() - INTERVAL 1 HOUR) AS before,
    this_hour > 2 * before AS doubled
FROM agent_runs
WHERE created_at >= now() - INTERVAL 7 DAY""",
    ),
    Example(
        "The same, agent by agent",
        "Which agents call more tools a run in this hour than in the week before?",
        """SELECT
    agent,
    countIf(created_at >= now() - INTERVAL 1 HOUR) AS runs,
    round(avgIf(tool_calls, created_at >= now() - INTERVAL 1 HOUR), 2) AS this_hour,
    round(avgIf(tool_calls, created_at < now() - INTERVAL 1 HOUR), 2) AS before,
    round(this_hour / before, 2) AS times
FROM agent_runs
WHERE created_at >= now() - INTERVAL 7 DAY
GROUP BY agent
ORDER BY times DESC""",
    ),
    Example(
        "What loops cost",
        "Runs in which a loop was found, their calls, and what they cost.",
        """SELECT agent, count() AS runs, sum(tool_calls) AS calls, round(sum(cost_usd), 2) AS usd
FROM runs
WHERE arrayExists(rule -> rule LIKE 'loop.%', anomaly_rules)
GROUP BY agent
ORDER BY usd DESC""",
    ),
    Example(
        "Repeated calls",
        "The same tool with the same arguments, most often first, and how many answers differed.",
        """SELECT run_id, tool, args_sha, count() AS times, uniqExact(result_sha) AS results
FROM events
WHERE kind = 'tool_result' AND ts >= now() - INTERVAL 1 DAY
GROUP BY run_id, tool, args_sha
HAVING times >= 5
ORDER BY times DESC
LIMIT 100""",
    ),
    Example(
        "Why runs stop",
        "Stop reasons of the last day, agent by agent.",
        """SELECT agent, stop_reason, count() AS runs, round(avg(outcome), 2) AS outcome
FROM runs
WHERE started_at >= now() - INTERVAL 1 DAY
GROUP BY agent, stop_reason
ORDER BY agent, runs DESC""",
    ),
    Example(
        "Version against version",
        "Did a version make it worse: calls, time, money and success of each.",
        """SELECT
    agent,
    agent_version,
    count() AS runs,
    round(avg(tool_calls), 1) AS calls_a_run,
    round(quantile(0.95)(duration_ms)) AS p95_ms,
    round(avg(cost_usd), 4) AS usd_a_run,
    round(countIf(stop_reason = 'success') / count(), 3) AS success
FROM runs
GROUP BY agent, agent_version
ORDER BY agent, agent_version""",
    ),
    Example(
        "An agent by the minute",
        "Tool calls a run, latency and success over the last hour: choose Chart.",
        """SELECT
    window_start,
    sum(runs_stopped) AS runs,
    avg(run_tool_calls_mean) AS calls_a_run,
    max(run_ms_p95) AS p95_ms
FROM window_metrics
WHERE tool IS NULL AND window_start >= now() - INTERVAL 1 HOUR
GROUP BY window_start
ORDER BY window_start""",
    ),
    Example(
        "What was found, and how soon",
        "Episodes by rule, and the seconds from the first sign to the alarm.",
        """SELECT
    rule,
    count() AS episodes,
    countIf(state != 'resolved') AS unresolved,
    round(avg(dateDiff('millisecond', onset, opened)) / 1000, 1) AS seconds_from_onset
FROM anomalies
GROUP BY rule
ORDER BY episodes DESC""",
    ),
    Example(
        "Tools that fail",
        "Calls, failures and the slowest tenth, tool by tool, over the last hour.",
        """SELECT
    tool,
    count() AS calls,
    round(countIf(status != 'ok') / count(), 3) AS failed,
    countIf(http_status = 429) AS rate_limited,
    round(quantile(0.9)(duration_ms)) AS p90_ms
FROM events
WHERE kind = 'tool_result' AND ts >= now() - INTERVAL 1 HOUR
GROUP BY tool
ORDER BY failed DESC""",
    ),
    Example(
        "Who stopped what",
        "Commands to agents and the calls that were refused because of them, the newest first.",
        """SELECT ts, entry, who, scope, what, why
FROM audit
ORDER BY ts DESC
LIMIT 200""",
    ),
    Example(
        "Messages that could not be read",
        "Dead letters by topic and reason.",
        """SELECT topic, reason, count() AS messages, max(ingested_at) AS latest
FROM dead_letters
GROUP BY topic, reason
ORDER BY messages DESC""",
    ),
    Example(
        "Is anything missing?",
        "Runs of which events were lost on the way.",
        """SELECT run_id, agent, missing_events
FROM runs
WHERE missing_events > 0
ORDER BY missing_events DESC
LIMIT 20""",
    ),
)
