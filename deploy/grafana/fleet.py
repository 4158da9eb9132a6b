"""The fleet: what all agents do, and which of them are in trouble."""

from __future__ import annotations

from .panels import Dashboard, choice, link, number, prom, series, sql, stacked, table
from .queries import TO_AGENT, TO_INCIDENT, a_second, quantile

AGENTS = 'agent=~"$agent"'
GOOD = AGENTS + ', stop_reason="success"'
OPENED = 'state="open"'

DASHBOARD = Dashboard(
    "runwatch-fleet",
    "runwatch: fleet",
    variables=[choice("agent", "Agent", "label_values(agent_events_total, agent)", several=True)],
    rows=[
        (
            "",
            [
                number("Runs a minute", prom(f"60 * {a_second('agent_stop_total', AGENTS)}")),
                number(
                    "Success",
                    prom(f"{a_second('agent_stop_total', GOOD)} / ({a_second('agent_stop_total', AGENTS)} > 0)"),
                    unit="percentunit",
                ),
                number("Spend a minute", prom(f"60 * {a_second('agent_cost_usd_total', AGENTS)}"), unit="currencyUSD"),
                number("Tool calls a run, p95", prom(quantile(0.95, "agent_tool_calls", AGENTS))),
                number("Run latency, p95", prom(quantile(0.95, "agent_run_latency_ms", AGENTS)), unit="ms"),
                number(
                    "Episodes not resolved",
                    sql("SELECT count() AS episodes FROM anomalies WHERE state != 'resolved' AND severity != 'info'"),
                    red_above=1,
                ),
            ],
        ),
        (
            "What agents do",
            [
                series(
                    "Tool calls a run",
                    prom(quantile(0.95, "agent_tool_calls", AGENTS), "p95"),
                    prom(quantile(0.5, "agent_tool_calls", AGENTS), "p50"),
                    prom("avg(agent:tool_calls_per_run:p95_usual) or vector(NaN)", "p95, usual of the last 7 days"),
                ),
                series(
                    "Run latency",
                    prom(quantile(0.95, "agent_run_latency_ms", AGENTS), "p95"),
                    prom(quantile(0.5, "agent_run_latency_ms", AGENTS), "p50"),
                    unit="ms",
                ),
                stacked("Why runs stop", prom(a_second("agent_stop_total", AGENTS, "stop_reason") + " > 0")),
                stacked("Runs a minute by agent", prom(f"60 * {a_second('agent_stop_total', AGENTS, 'agent')}")),
                stacked("Tokens a minute", prom(f"60 * {a_second('agent_tokens_total', AGENTS, 'kind')}")),
                stacked(
                    "Spend a minute by agent",
                    prom(f"60 * {a_second('agent_cost_usd_total', AGENTS, 'agent')}"),
                    unit="currencyUSD",
                ),
                series(
                    "Of tool calls",
                    *(
                        prom(f"{a_second(metric, AGENTS)} / ({a_second('agent_tool_results_total', AGENTS)} > 0)", name)
                        for name, metric in (
                            ("retries", "agent_retries_total"),
                            ("errors", "agent_tool_errors_total"),
                            ("429 and 5xx", "agent_rate_limited_total"),
                        )
                    ),
                    unit="percentunit",
                ),
                stacked(
                    "Refused calls and commands, a minute",
                    prom(f"60 * {a_second('agent_refused_total', AGENTS)}", "refused calls"),
                    prom(f"60 * {a_second('agent_commands_total', '', 'mode')}", "commanded: {{mode}}"),
                ),
                stacked(
                    "Episodes opened, a minute",
                    prom(f"60 * {a_second('agent_anomalies_total', OPENED, 'rule')} > 0"),
                ),
            ],
        ),
        (
            "Where it is",
            [
                table(
                    "Agents, the most troubled first",
                    sql("""
                        SELECT m.agent AS agent, a.episodes AS episodes, m.runs AS runs, m.success AS success,
                               m.calls_a_run AS calls_a_run, m.usd AS usd, m.usd_a_run AS usd_a_run, m.errors AS errors
                        FROM
                        (
                            SELECT agent, sum(runs_stopped) AS runs, sum(successes) / nullIf(runs, 0) AS success,
                                   sum(run_tool_calls_sum) / nullIf(runs, 0) AS calls_a_run,
                                   sum(cost_usd) AS usd, sum(run_cost_usd_sum) / nullIf(runs, 0) AS usd_a_run,
                                   sum(tool_errors) / nullIf(sum(tool_calls), 0) AS errors
                            FROM window_metrics
                            WHERE tool IS NULL AND $__timeFilter(window_start)
                            GROUP BY agent
                        ) AS m
                        LEFT JOIN
                        (
                            SELECT agent, countIf(severity != 'info') AS episodes
                            FROM anomalies WHERE $__timeFilter(opened) GROUP BY agent
                        ) AS a ON a.agent = m.agent
                        ORDER BY episodes DESC, success ASC, agent
                        LIMIT 200
                    """),
                    links=[link("agent", "This agent", TO_AGENT)],
                ),
                table(
                    "Episodes",
                    sql("""
                        SELECT opened, severity, state, agent, agent_version, rule, tool, message, anomaly_id
                        FROM anomalies
                        WHERE $__timeFilter(opened) OR state != 'resolved'
                        ORDER BY state = 'resolved', severity = 'critical' DESC, opened DESC
                        LIMIT 200
                    """),
                    links=[link("anomaly_id", "This incident", TO_INCIDENT), link("agent", "This agent", TO_AGENT)],
                    height=10,
                ),
            ],
        ),
    ],
)
