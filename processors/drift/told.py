"""Turns as anomalies."""

from __future__ import annotations

from dataclasses import replace

from ...schemas.anomalies import Anomaly
from ...schemas.ids import derived_hex
from . import sentences
from .episode import Turn
from .metrics import Metric
from .mix import MixTurn

FALL = "drift.fall"
"""The one rule that says that things got less; it is only worth knowing."""
STOP_MIX = "stop_reason_mix"
TOOL_MIX = "tool_mix"
MIX_NAMES = {STOP_MIX: "stop_reason", TOOL_MIX: "tool_mix"}
"""What they are called among the metrics that are tracked."""
_MIX_LABELS = {STOP_MIX: "Stop reasons", TOOL_MIX: "The tools that are called"}


def told(opened: Anomaly, metric: Metric, turn: Turn, message: str) -> Anomaly:
    """A later state of an episode."""
    return replace(
        opened,
        state=turn.state,
        severity=turn.severity,
        ts_ms=turn.ts_ms,
        value=metric.value(turn.level),
        baseline=metric.value(turn.usual),
        message=message,
    )


def mix_told(rule: str, agent: str, name: str, turn: MixTurn) -> Anomaly:
    """A state of a mix's episode."""
    label = _MIX_LABELS[name]
    return Anomaly(
        anomaly_id=derived_hex(rule, agent, turn.onset_ms),
        rule=rule,
        state=turn.state,
        severity="warning",
        ts_ms=turn.ts_ms,
        onset_ms=turn.onset_ms,
        agent=agent,
        value=turn.value,
        baseline=turn.baseline,
        message=sentences.mix_sentence(label, agent, turn),
    )


def subject_of(agent: str, version: str | None, tool: str | None) -> str:
    """Whose metric it is, for people."""
    if tool is not None:
        return f"{tool} ({agent})"
    return agent if version is None else f"{agent} {version}"
