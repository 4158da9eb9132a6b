"""Every metric that runwatch serves: its name, what it means, its labels. docs/metrics.md tells of each.

What agents do is named `agent_…`, runwatch's own health `runwatch_…`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter is served as `NAME_total`, a histogram as `NAME_bucket`, `NAME_sum`, `NAME_count`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Of a histogram: its buckets' upper bounds, ascending; one more, without end, is implied."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its samples stand."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DELAYS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

# What agents do, as the workers read it: each worker of its own partitions.
AGENT_TOOL_CALLS: Final = Metric(
    "agent_tool_calls", "histogram", "Tool calls of a run, as its stop says.", ("agent",),
    (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 500, 1000),
)  # fmt: skip
AGENT_RUN_LATENCY: Final = Metric(
    "agent_run_latency_ms", "histogram", "How long a run took, in milliseconds, as its stop says.", ("agent",),
    (100, 250, 500, 1000, 2000, 3000, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 120_000, 300_000,
     600_000, 1_800_000, 3_600_000),
)  # fmt: skip
AGENT_STOP: Final = Metric("agent_stop", "counter", "Runs that stopped, by why.", ("agent", "stop_reason"))
AGENT_EVENTS: Final = Metric("agent_events", "counter", "Events, each counted once however often sent.", ("agent",))
AGENT_EVENTS_EXPECTED: Final = Metric(
    "agent_events_expected", "gauge",
    "Events of runs of the last day, stored or missing, by their places; each sink knows all.", ("agent",),
)  # fmt: skip
AGENT_EVENTS_LOST: Final = Metric(
    "agent_events_lost", "gauge",
    "Those of them that are missing: places below the highest that nothing is stored of.", ("agent",),
)  # fmt: skip
AGENT_MODEL_CALLS: Final = Metric("agent_model_calls", "counter", "Requests to models.", ("agent",))
AGENT_TOKENS: Final = Metric("agent_tokens", "counter", "Tokens of requests, in and out.", ("agent", "kind"))
AGENT_COST: Final = Metric("agent_cost_usd", "counter", "What requests to models cost, US dollars.", ("agent",))
AGENT_TOOL_RESULTS: Final = Metric(
    "agent_tool_results", "counter", "Tool calls, as they end; refused ones are none.", ("agent",)
)
AGENT_TOOL_ERRORS: Final = Metric("agent_tool_errors", "counter", "Tool calls that failed.", ("agent",))
AGENT_RETRIES: Final = Metric("agent_retries", "counter", "Tool calls that were not the first try.", ("agent",))
AGENT_RATE_LIMITED: Final = Metric(
    "agent_rate_limited", "counter", "Tool calls that were answered with 429 or 5xx.", ("agent",)
)
AGENT_REFUSED: Final = Metric("agent_refused", "counter", "Calls that the agent's guard refused.", ("agent",))
AGENT_ANOMALIES: Final = Metric(
    "agent_anomalies", "counter", "Anomalies that were said: opened, escalated, resolved.",
    ("rule", "severity", "state"),
)  # fmt: skip
AGENT_COMMANDS: Final = Metric("agent_commands", "counter", "Commands to agents that the policy gave.", ("mode",))
AGENT_CONTROLS: Final = Metric(
    "agent_controls", "gauge", "Commands in force now, as a worker knows them from the control topic.",
    ("scope", "mode"),
)  # fmt: skip

# How runwatch itself is.
BUILD: Final = Metric("runwatch_build_info", "gauge", "Which part this is, and of which version; always 1.",
                      ("part", "version"))  # fmt: skip
TICK: Final = Metric(
    "runwatch_tick_timestamp_seconds", "gauge", "When this part last came round to look after itself, Unix time.",
    ("part",),
)  # fmt: skip
LAG: Final = Metric(
    "runwatch_lag_messages", "gauge", "Messages of a partition that wait to be read.", ("part", "topic", "partition")
)
FRAME_EVENTS: Final = Metric(
    "runwatch_frame_messages", "histogram", "Messages of a frame that was worked on live.", ("topic",),
    (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000),
)  # fmt: skip
FRAME_SECONDS: Final = Metric(
    "runwatch_frame_seconds", "histogram", "How long the work on a live frame took.", ("topic",), _SECONDS
)
REPLAYED: Final = Metric(
    "runwatch_replayed_messages", "counter", "Messages that were read again to rebuild state; nothing else counts them."
)
AMISS: Final = Metric("runwatch_amiss", "counter", "What is amiss in events, by what it is.", ("what",))
OPEN_RUNS: Final = Metric("runwatch_open_runs", "gauge", "Runs that a worker holds in memory.")
OPEN_WINDOWS: Final = Metric("runwatch_open_window_parts", "gauge", "Window parts that a worker holds in memory.")
TRACKS: Final = Metric("runwatch_tracks", "gauge", "Numbers of agents, versions and tools that are judged.")
WINDOW_PARTS: Final = Metric("runwatch_window_parts", "counter", "Window parts that were sent.")
DETECTION_DELAY: Final = Metric(
    "runwatch_detection_delay_seconds", "histogram",
    "From the time of the event that makes an anomaly to the anomaly's being said.", ("family",), _DELAYS_S,
)  # fmt: skip
ROWS: Final = Metric("runwatch_rows_stored", "counter", "Rows that the sink stored.", ("topic",))
INSERT_SECONDS: Final = Metric(
    "runwatch_insert_seconds", "histogram", "How long an insert took, waiting for ClickHouse included.", ("topic",),
    _SECONDS,
)  # fmt: skip
SKIPPED: Final = Metric("runwatch_skipped_messages", "counter", "Messages read again and found stored already.")
DEAD_LETTERS: Final = Metric(
    "runwatch_dead_letters", "counter", "Messages that could not be stored, by why.", ("reason",)
)
STALLED: Final = Metric(
    "runwatch_storing_stalled", "gauge", "1 while the sink waits for something that is away, else 0."
)
HELD: Final = Metric(
    "runwatch_held", "gauge", "1 while a topic is not read on, since nearly nothing in it can be read; else 0.",
    ("part", "topic"),
)  # fmt: skip
ALERTS_SENT: Final = Metric("runwatch_alerts_sent", "counter", "Messages that arrived.", ("receiver",))
ALERTS_FAILED: Final = Metric("runwatch_alerts_failed", "counter", "Tries to tell that failed.", ("receiver",))
ALERTS_GIVEN_UP: Final = Metric(
    "runwatch_alerts_given_up", "counter", "Messages that the receiver would not take.", ("receiver",)
)
ALERTS_WAITING: Final = Metric("runwatch_alerts_waiting", "gauge", "Episodes that wait to be told.", ("receiver",))
ALERTS_AWAY: Final = Metric("runwatch_alerts_away", "gauge", "1 while a receiver does not answer.", ("receiver",))
ALERT_DELAY: Final = Metric(
    "runwatch_alert_delay_seconds", "histogram",
    "From the time of the event that makes an anomaly to its receiver's answer.", ("receiver",), _DELAYS_S,
)  # fmt: skip
QUESTION_SECONDS: Final = Metric(
    "runwatch_question_seconds", "histogram", "How long ClickHouse took to answer the console, waiting included.", (),
    _SECONDS,
)  # fmt: skip
QUESTIONS_FAILED: Final = Metric(
    "runwatch_questions_failed", "counter", "Questions of the console that ClickHouse did not answer, or with an error."
)

METRICS: Final = tuple(one for one in list(globals().values()) if isinstance(one, Metric))
"""All of them, in this order."""
