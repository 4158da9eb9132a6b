"""What leaves an agent as events, and which metrics are watched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args

from pydantic import Field, model_validator

from ..control.outgoing import Outgoing
from .section import Section

EventField = Literal[
    "run_id",
    "step_id",
    "tool",
    "duration_ms",
    "status",
    "error",
    "stop_reason",
    "agent_version",
    "model",
    "prompt_sha",
    "tools_sha",
    "attempt",
    "http_status",
    "outcome",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "tool_calls",
    "labels",
    "args_sha",
    "result_sha",
    "event_id",
    "parent_run_id",
    "seq",
    "kind",
    "ts_ms",
    "agent",
]
HASHES: Final = ("args_sha", "result_sha")
ALWAYS: Final = ("event_id", "run_id", "parent_run_id", "seq", "kind", "ts_ms", "agent")
"""Without these an event is none: they are sent whether they are named or not."""

Metric = Literal[
    "tokens_per_request",
    "tool_calls_per_run",
    "latency_p95",
    "spend_per_run",
    "stop_reason",
    "tool_calls_per_run_p95",
    "spend_per_token",
    "retries_per_call",
    "error_rate",
    "success",
    "outcome",
    "spend_per_good_outcome",
    "call_latency_p95",
    "rate_limited",
    "tool_mix",
]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
NEEDS: Final[Mapping[Metric, tuple[EventField, ...]]] = {
    "tokens_per_request": ("input_tokens", "output_tokens"),
    "tool_calls_per_run": ("tool_calls",),
    "latency_p95": ("duration_ms",),
    "spend_per_run": ("cost_usd",),
    "stop_reason": ("stop_reason",),
    "tool_calls_per_run_p95": ("tool_calls",),
    "spend_per_token": ("input_tokens", "output_tokens", "cost_usd"),
    "retries_per_call": ("attempt",),
    "error_rate": ("status",),
    "success": ("stop_reason",),
    "outcome": ("outcome",),
    "spend_per_good_outcome": ("cost_usd", "outcome", "stop_reason"),
    "call_latency_p95": ("tool", "duration_ms"),
    "rate_limited": ("tool", "http_status"),
    "tool_mix": ("tool",),
}
"""The fields of events that each metric is measured by."""

_UNSENT: Final[Mapping[EventField, str]] = {
    "tool": "loops are found, but nobody can say of which tool; what tools drift or fail is not seen",
    "status": "what fails is not seen, nor are loops of failing calls",
    "error": "loops of the same failure are told less well",
    "stop_reason": "nobody can say why a run stopped",
    "attempt": "retries are not seen",
    "http_status": "tools that answer 429 or 5xx are not seen",
    "model": "nobody can say which model ran",
    "prompt_sha": "nobody can say which prompt ran",
    "tools_sha": "nobody can say which tool set ran",
    "agent_version": "versions are not told apart",
}
"""What goes unseen where a field is left out, of those that something goes by."""

with warnings.catch_warnings():
    # BaseModel has a deprecated method of that name; the key is the article's.
    warnings.filterwarnings("ignore", 'Field name "schema"', UserWarning)

    class EventSettings(Section):
        """What is sent of each step."""

        enabled: bool = Field(default=True, description="Whether agents send events at all.")
        schema: Literal["unified"] = Field(  # type: ignore[assignment]
            default="unified", description="One flat record for every kind of event; there is no other."
        )
        store_args: bool = Field(
            default=False,
            description="Whether redacted snapshots of arguments and results are kept; see `snapshots`. The events "
            "themselves never hold any.",
        )
        store_args_hash: bool = Field(
            default=True,
            description="Whether events hold hashes of arguments and results. Loops are found by them alone.",
        )
        include: tuple[EventField, ...] = Field(
            default=tuple(one for one in get_args(EventField) if one == "run_id" or one not in (*ALWAYS, *HASHES)),
            description="Fields that events are sent with. What is not named is sent empty, but for what an event is "
            f"known by ({', '.join(ALWAYS)}), the hashes, and what the metrics need that are tracked.",
        )

        @model_validator(mode="after")
        def _hold(self) -> EventSettings:
            for name in HASHES:
                if name in self.include and not self.store_args_hash:
                    raise ValueError(
                        f"logging.events.include names {name}, which store_args_hash: false leaves out; change either"
                    )
            return self


class LoggingSettings(Section):
    """What leaves an agent."""

    events: EventSettings = Field(default_factory=EventSettings, description="One event a step.")


class MetricSettings(Section):
    """What is watched."""

    track: tuple[Metric, ...] = Field(
        default=METRICS,
        description="Metrics that are watched for drift. Stored windows hold the others as well.",
    )


class AuditSettings(Section):
    """What is on record of those who step in."""

    enabled: bool = Field(
        default=True,
        description="Whether calls that are refused are events too. Commands are on record either way.",
    )


def outgoing(logging: LoggingSettings, metrics: MetricSettings, audit: AuditSettings) -> Outgoing:
    """What an agent goes by."""
    events = logging.events
    sent = {*ALWAYS, *events.include, *(HASHES if events.store_args_hash else ())}
    for metric in metrics.track:
        sent.update(NEEDS[metric])
    return Outgoing(events=events.enabled, left_out=frozenset(set(get_args(EventField)) - sent), refusals=audit.enabled)


def unseen(logging: LoggingSettings, metrics: MetricSettings, audit: AuditSettings) -> Iterator[str]:
    """What nobody sees because of these settings, in sentences: whoever sets them is to know."""
    if not logging.events.enabled:
        yield "logging.events.enabled is false: agents send nothing, and nothing of them is seen."
        return
    left_out = outgoing(logging, metrics, audit).left_out
    if not logging.events.store_args_hash:
        yield "logging.events.store_args_hash is false: loops cannot be found, since no two calls can be compared."
    for name in get_args(EventField):
        if name in left_out and name in _UNSENT:
            yield f"logging.events.include leaves out {name}: {_UNSENT[name]}."
    if not audit.enabled:
        yield "audit.enabled is false: what agents were refused is not on record."
