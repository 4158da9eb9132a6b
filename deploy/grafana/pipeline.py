"""runwatch itself: what waits, how long the work takes, what could not be read."""

from __future__ import annotations

from .panels import Dashboard, number, prom, series, sql, stacked, table
from .queries import RATE, a_second, quantile

DASHBOARD = Dashboard(
    "runwatch-pipeline",
    "runwatch: pipeline health",
    rows=[
        (
            "",
            [
                number("Events a second", prom(a_second("agent_events_total")), unit="eps"),
                number("Messages waiting", prom("sum(runwatch_lag_messages)"), red_above=100_000),
                number("Rows stored a second", prom(a_second("runwatch_rows_stored_total"))),
                number(
                    "Loop to its anomaly, p95",
                    prom(quantile(0.95, "runwatch_detection_delay_seconds", 'family="loop"')),
                    unit="s",
                ),
                number(
                    "Dead letters, 1 h",
                    prom("sum(increase(runwatch_dead_letters_total[1h]))"),
                    red_above=1,
                ),
                number(
                    "Longest silence of a part",
                    prom("max(time() - max by (part) (runwatch_tick_timestamp_seconds))"),
                    unit="s",
                    red_above=60,
                ),
            ],
        ),
        (
            "Reading",
            [
                series("Messages waiting", prom("sum by (part, topic) (runwatch_lag_messages)", "{{part}} {{topic}}")),
                series(
                    "Work on a frame",
                    prom(quantile(0.95, "runwatch_frame_seconds", "", "topic"), "p95 {{topic}}"),
                    prom(quantile(0.5, "runwatch_frame_seconds", "", "topic"), "p50 {{topic}}"),
                    unit="s",
                ),
                series(
                    "Messages a frame",
                    prom(
                        f"{a_second('runwatch_frame_messages_sum', '', 'topic')}"
                        f" / ({a_second('runwatch_frame_messages_count', '', 'topic')} > 0)",
                        "{{topic}}",
                    ),
                ),
                series(
                    "Event to anomaly, p95",
                    prom(quantile(0.95, "runwatch_detection_delay_seconds", "", "family"), "{{family}}"),
                    unit="s",
                ),
                series(
                    "In memory",
                    prom("sum(runwatch_open_runs)", "open runs"),
                    prom("sum(runwatch_open_window_parts)", "window parts"),
                    prom("sum(runwatch_tracks)", "tracks"),
                ),
                stacked("Amiss in events, a minute", prom(f"60 * {a_second('runwatch_amiss_total', '', 'what')} > 0")),
                series(
                    "Sent and read again, a second",
                    prom(a_second("runwatch_window_parts_total"), "window parts sent"),
                    prom(a_second("runwatch_replayed_messages_total"), "messages replayed"),
                ),
                series(
                    "Commands in force",
                    prom("max by (scope, mode) (agent_controls)", "{{scope}}: {{mode}}"),
                ),
            ],
        ),
        (
            "Storing",
            [
                stacked("Rows stored a second", prom(a_second("runwatch_rows_stored_total", "", "topic"), "{{topic}}")),
                series(
                    "An insert, p95",
                    prom(quantile(0.95, "runwatch_insert_seconds", "", "topic"), "{{topic}}"),
                    unit="s",
                ),
                series(
                    "Trouble",
                    prom("max(runwatch_storing_stalled)", "stalled"),
                    prom(f"60 * {a_second('runwatch_skipped_messages_total')}", "skipped, a minute"),
                    prom(f"60 * {a_second('runwatch_dead_letters_total', '', 'reason')} > 0", "dead: {{reason}}"),
                ),
                series(
                    "From an event's time to its row, p95",
                    sql(
                        """
                        SELECT $__timeInterval(ingested_at) AS time,
                               quantile(0.95)(dateDiff('millisecond', ts, ingested_at)) AS p95_ms
                        FROM events WHERE $__timeFilter(ingested_at) GROUP BY time ORDER BY time
                        """,
                        "timeseries",
                    ),
                    unit="ms",
                    width=12,
                ),
                table(
                    "Dead letters",
                    sql("""
                        SELECT topic, reason, count() AS messages, max(ingested_at) AS latest, any(detail) AS example
                        FROM dead_letters WHERE $__timeFilter(ingested_at)
                        GROUP BY topic, reason ORDER BY latest DESC LIMIT 100
                    """),
                    width=12,
                ),
            ],
        ),
        (
            "Alerts and processes",
            [
                series(
                    "Event to its receiver's answer, p95",
                    prom(quantile(0.95, "runwatch_alert_delay_seconds", "", "receiver"), "{{receiver}}"),
                    unit="s",
                ),
                series(
                    "Alerts a minute",
                    prom(f"60 * {a_second('runwatch_alerts_sent_total', '', 'receiver')}", "sent: {{receiver}}"),
                    prom(f"60 * {a_second('runwatch_alerts_failed_total', '', 'receiver')}", "failed: {{receiver}}"),
                    prom(
                        f"60 * {a_second('runwatch_alerts_given_up_total', '', 'receiver')}", "given up: {{receiver}}"
                    ),
                ),
                series(
                    "Waiting to be told",
                    prom("sum by (receiver) (runwatch_alerts_waiting)", "{{receiver}}"),
                    prom("max by (receiver) (runwatch_alerts_away)", "away: {{receiver}}"),
                ),
                series(
                    "CPU",
                    prom(
                        f"rate(process_cpu_seconds_total{RATE}) * on (instance) group_left (part) runwatch_build_info",
                        "{{part}} {{instance}}",
                    ),
                    unit="percentunit",
                ),
                series(
                    "Memory",
                    prom(
                        "process_resident_memory_bytes * on (instance) group_left (part) runwatch_build_info",
                        "{{part}} {{instance}}",
                    ),
                    unit="bytes",
                ),
                series(
                    "Open files",
                    prom(
                        "process_open_fds * on (instance) group_left (part) runwatch_build_info",
                        "{{part}} {{instance}}",
                    ),
                ),
            ],
        ),
    ],
)
