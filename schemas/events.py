"""`AgentEvent`, typed; its fields are those of `agent_event.avsc`, in that order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["run_start", "model_result", "tool_result", "stop", "other"]
Status = Literal["none", "ok", "error"]

USAGE_FIELDS = ("tool_calls", "input_tokens", "output_tokens", "cost_usd")
"""The fields that nest under `usage` in JSON."""


@dataclass(slots=True)
class AgentEvent:
    """One step of one run. See `agent_event.avsc` for what each field means and its unit."""

    event_id: str
    run_id: str
    seq: int
    kind: Kind
    ts_ms: int
    agent: str
    parent_run_id: str | None = None
    agent_version: str | None = None
    model: str | None = None
    prompt_sha: str | None = None
    tools_sha: str | None = None
    step_id: str | None = None
    tool: str | None = None
    args_sha: str | None = None
    result_sha: str | None = None
    duration_ms: int | None = None
    status: Status = "none"
    error: str | None = None
    attempt: int | None = None
    http_status: int | None = None
    stop_reason: str | None = None
    outcome: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    tool_calls: int | None = None
    labels: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The event as the dict that Avro writes."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> AgentEvent:
        """The event in a dict that Avro read."""
        values = {name: record[name] for name in FIELDS if name in record}
        values["ts_ms"] = epoch_ms(values["ts_ms"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The JSON form: nulls left out, usage nested."""
        out = {
            name: value
            for name in FIELDS
            if name not in USAGE_FIELDS and (value := getattr(self, name)) is not None and value != "none"
        }
        usage = {name: value for name in USAGE_FIELDS if (value := getattr(self, name)) is not None}
        if usage:
            out["usage"] = usage
        return out


FIELDS: tuple[str, ...] = tuple(AgentEvent.__dataclass_fields__)


def epoch_ms(value: int | datetime) -> int:
    """Milliseconds since the epoch; fastavro reads timestamp-millis as an aware datetime."""
    if isinstance(value, datetime):
        delta = value - datetime(1970, 1, 1, tzinfo=UTC)
        # Whole numbers throughout: a float would lose the last millisecond.
        return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
    return value
