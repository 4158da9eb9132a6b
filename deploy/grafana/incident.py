"""One incident: the time around its onset, how it went, what was done, the runs involved."""

from __future__ import annotations

from .panels import Dashboard, choice, link, series, sql, table
from .queries import TO_AGENT

OF_INCIDENT = "anomaly_id = ${incident:singlequote}"
ITS_AGENT = f"agent IN (SELECT agent FROM anomalies WHERE {OF_INCIDENT})"
AROUND = f"""
    window_start >= (SELECT min(onset) FROM anomalies WHERE {OF_INCIDENT}) - INTERVAL 30 MINUTE
    AND window_start <= (SELECT max(ts) FROM anomalies WHERE {OF_INCIDENT}) + INTERVAL 30 MINUTE
"""

DASHBOARD = Dashboard(
    "runwatch-incident",
    "runwatch: incident",
    since="now-6h",
    variables=[
        choice(
            "incident",
            "Incident",
            sql("""
                SELECT anomaly_id AS __value,
                       concat(formatDateTime(opened, '%m-%d %H:%i'), ' ', agent, ' ', rule) AS __text
                FROM anomalies
                WHERE $__timeFilter(opened) OR state != 'resolved'
                ORDER BY state = 'resolved', severity = 'critical' DESC, opened DESC LIMIT 500
            """),
        )
    ],
    rows=[
        (
            "",
            [
                table(
                    "What it is",
                    sql(f"""
                        SELECT severity, state, onset, opened, agent, agent_version, tool, rule, value, baseline,
                               message
                        FROM anomalies WHERE {OF_INCIDENT}
                    """),
                    height=5,
                    links=[link("agent", "This agent", TO_AGENT)],
                ),
                series(
                    "Tool calls a run, before and after",
                    sql(
                        f"""
                        SELECT window_start AS time,
                               sum(run_tool_calls_sum) / nullIf(sum(runs_stopped), 0) AS calls_a_run
                        FROM window_metrics WHERE {ITS_AGENT} AND tool IS NULL AND {AROUND}
                        GROUP BY time ORDER BY time
                        """,
                        "timeseries",
                    ),
                ),
                series(
                    "Run latency, p95",
                    sql(
                        f"""
                        SELECT window_start AS time,
                               runwatch_quantile(sumMap(run_ms_keys, run_ms_counts), 0.95) AS p95_ms
                        FROM window_parts WHERE {ITS_AGENT} AND tool IS NULL AND {AROUND}
                        GROUP BY time ORDER BY time
                        """,
                        "timeseries",
                    ),
                    unit="ms",
                ),
                series(
                    "Spend a minute",
                    sql(
                        f"""
                        SELECT window_start AS time, sum(cost_usd) * 60000 / any(window_ms) AS usd_a_minute
                        FROM window_metrics WHERE {ITS_AGENT} AND tool IS NULL AND {AROUND}
                        GROUP BY time ORDER BY time
                        """,
                        "timeseries",
                    ),
                    unit="currencyUSD",
                ),
                table(
                    "How it went",
                    sql(f"""
                        SELECT ts, state, severity, value, baseline, message
                        FROM anomaly_history WHERE {OF_INCIDENT} ORDER BY ts
                    """),
                    width=12,
                ),
                table(
                    "What was done about it",
                    sql(f"""
                        SELECT ts, entry, who, scope, what, why FROM audit
                        WHERE {OF_INCIDENT}
                           OR run_id != ''
                              AND run_id IN (SELECT ifNull(run_id, '') FROM anomalies WHERE {OF_INCIDENT})
                        ORDER BY ts LIMIT 200
                    """),
                    width=12,
                ),
                table(
                    "Runs involved",
                    sql(f"""
                        SELECT started_at, run_id, agent, agent_version, model, tool_calls, tool_errors, retries,
                               duration_ms, cost_usd, stop_reason, anomaly_rules
                        FROM runs
                        WHERE run_id IN
                        (
                            SELECT r.run_id FROM anomalies AS r, anomalies AS i
                            WHERE i.{OF_INCIDENT} AND r.agent = i.agent AND r.rule = i.rule AND r.run_id IS NOT NULL
                              AND r.opened >= i.onset - INTERVAL 1 HOUR AND r.opened <= i.ts + INTERVAL 1 HOUR
                        )
                        OR run_id IN
                        (
                            SELECT run_id FROM runs
                            WHERE {ITS_AGENT}
                              AND started_at >= (SELECT min(onset) FROM anomalies WHERE {OF_INCIDENT})
                              AND started_at <= (SELECT max(ts) FROM anomalies WHERE {OF_INCIDENT})
                        )
                        ORDER BY tool_calls DESC LIMIT 100
                    """),
                    height=10,
                ),
            ],
        )
    ],
)
