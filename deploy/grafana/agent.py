"""One agent: its versions side by side, its tools, its episodes and runs."""

from __future__ import annotations

from .panels import Dashboard, choice, link, series, sql, stacked, table
from .queries import TO_INCIDENT

OF_AGENT = "agent = ${agent:singlequote}"
OWN_PARTS = f"FROM window_parts WHERE {OF_AGENT} AND tool IS NULL AND $__timeFilter(window_start)"
BY_VERSION = "GROUP BY time, version ORDER BY time, version"


def by_version(what: str) -> str:
    """A number of an agent's versions over time."""
    return f"""
        SELECT $__timeInterval(window_start) AS time, ifNull(agent_version, '-') AS version, {what} AS value
        {OWN_PARTS} {BY_VERSION}
    """


DASHBOARD = Dashboard(
    "runwatch-agent",
    "runwatch: agent",
    variables=[
        choice(
            "agent",
            "Agent",
            sql("""
                SELECT agent FROM window_metrics WHERE tool IS NULL AND $__timeFilter(window_start)
                GROUP BY agent ORDER BY agent
            """),
        )
    ],
    rows=[
        (
            "By version",
            [
                series(
                    "Tool calls a run, p95",
                    sql(
                        by_version("runwatch_quantile(sumMap(run_tool_calls_keys, run_tool_calls_counts), 0.95)"),
                        "timeseries",
                    ),
                ),
                series(
                    "Run latency, p95",
                    sql(by_version("runwatch_quantile(sumMap(run_ms_keys, run_ms_counts), 0.95)"), "timeseries"),
                    unit="ms",
                ),
                series(
                    "Success",
                    sql(by_version("sum(successes) / nullIf(sum(runs_stopped), 0)"), "timeseries"),
                    unit="percentunit",
                ),
                series(
                    "Tokens a request",
                    sql(
                        by_version("sum(input_tokens + output_tokens) / nullIf(sum(model_calls), 0)"),
                        "timeseries",
                    ),
                ),
                series(
                    "Spend a run",
                    sql(by_version("sum(run_cost_usd_sum) / nullIf(sum(runs_stopped), 0)"), "timeseries"),
                    unit="currencyUSD",
                ),
                series(
                    "Retries a call",
                    sql(by_version("sum(retries) / nullIf(sum(tool_calls), 0)"), "timeseries"),
                    unit="percentunit",
                ),
            ],
        ),
        (
            "Why",
            [
                stacked(
                    "Why runs stop",
                    sql(
                        f"""
                        SELECT $__timeInterval(window_start) AS time, reason, sum(runs) AS value
                        FROM (SELECT window_start, stop_reasons, stop_reason_counts {OWN_PARTS})
                        ARRAY JOIN stop_reasons AS reason, stop_reason_counts AS runs
                        GROUP BY time, reason ORDER BY time, reason
                        """,
                        "timeseries",
                    ),
                    width=12,
                ),
                series(
                    "Calls by tool",
                    sql(
                        f"""
                        SELECT $__timeInterval(window_start) AS time, tool, sum(tool_calls) AS value
                        FROM window_metrics
                        WHERE {OF_AGENT} AND tool IS NOT NULL AND $__timeFilter(window_start)
                        GROUP BY time, tool ORDER BY time, tool
                        """,
                        "timeseries",
                    ),
                    width=12,
                ),
                table(
                    "Tools",
                    sql(f"""
                        SELECT tool, sum(tool_calls) AS calls, sum(tool_errors) / nullIf(calls, 0) AS errors,
                               sum(retries) / nullIf(calls, 0) AS again,
                               runwatch_quantile(sumMap(call_ms_keys, call_ms_counts), 0.95) AS p95_ms
                        FROM window_parts
                        WHERE {OF_AGENT} AND tool IS NOT NULL AND $__timeFilter(window_start)
                        GROUP BY tool ORDER BY calls DESC LIMIT 100
                    """),
                    width=10,
                ),
                table(
                    "Episodes",
                    sql(f"""
                        SELECT opened, severity, state, rule, agent_version, message, anomaly_id
                        FROM anomalies
                        WHERE {OF_AGENT} AND ($__timeFilter(opened) OR state != 'resolved')
                        ORDER BY state = 'resolved', opened DESC LIMIT 100
                    """),
                    width=14,
                    links=[link("anomaly_id", "This incident", TO_INCIDENT)],
                ),
                table(
                    "Latest runs",
                    sql(f"""
                        SELECT started_at, run_id, agent_version, model, tool_calls, tool_errors, retries, duration_ms,
                               cost_usd, stop_reason, anomaly_rules
                        FROM runs
                        WHERE {OF_AGENT} AND $__timeFilter(started_at)
                        ORDER BY started_at DESC LIMIT 100
                    """),
                    height=10,
                ),
            ],
        ),
    ],
)
