"""`Anomaly`, typed; its fields are those of `anomaly.avsc`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["open", "escalated", "resolved"]
Severity = Literal["info", "warning", "critical"]

REPORT_FIELDS = (
    "anomaly_id",
    "rule",
    "state",
    "severity",
    "ts_ms",
    "agent",
    "run_id",
    "step_id",
    "tool",
    "value",
    "baseline",
    "message",
)
"""What `runwatch backtest` and `runwatch anomalies` print of an anomaly, in this order."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An episode opened, escalated or resolved. See `anomaly.avsc` for what each field means."""

    anomaly_id: str
    rule: str
    state: State
    severity: Severity
    ts_ms: int
    onset_ms: int
    agent: str
    value: float
    message: str
    agent_version: str | None = None
    model: str | None = None
    run_id: str | None = None
    step_id: str | None = None
    tool: str | None = None
    baseline: float | None = None
    period: int | None = None
    seqs: tuple[int, ...] = ()
    source_partition: int | None = None
    source_offset: int | None = None
    detected_ms: int | None = None

    def to_record(self) -> dict[str, Any]:
        """The anomaly as the dict that Avro writes."""
        record = {name: getattr(self, name) for name in self.__slots__}
        record["seqs"] = list(self.seqs)
        return record

    def report(self) -> dict[str, Any]:
        """The anomaly as people and scripts are told of it."""
        return {name: getattr(self, name) for name in REPORT_FIELDS}
