"""What was found of a run, as an anomaly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...schemas.anomalies import Anomaly
from ...schemas.ids import derived_hex
from .find import Loop
from .runaway import Runaway
from .said import RUNAWAY
from .sentences import sentence
from .verdicts import CRITICAL


def of_loop(loop: Loop, event: Mapping[str, Any], partition: int, offset: int) -> Anomaly:
    """`event`: the call that met the rule; `partition`, `offset`: where it stands."""
    return _anomaly(
        event,
        loop.verdict.rule,
        critical=loop.verdict.level == CRITICAL,
        escalates=loop.escalates,
        onset_ms=loop.onset_ms,
        tool=event["tool"],
        value=float(loop.verdict.count),
        period=loop.verdict.period,
        seqs=loop.seqs,
        message=sentence(loop.verdict, event["tool"], loop.seqs, event["error"]),
        source_partition=partition,
        source_offset=offset,
    )


def of_runaway(runaway: Runaway, event: Mapping[str, Any], partition: int, offset: int) -> Anomaly:
    """`event`: the one with which the run had taken so much; `partition`, `offset`: where it stands."""
    return _anomaly(
        event,
        RUNAWAY,
        critical=runaway.critical,
        escalates=runaway.escalates,
        onset_ms=event["ts_ms"],
        value=runaway.value,
        baseline=runaway.usual,
        seqs=(event["seq"],),
        message=runaway.sentence(event["agent"]),
        source_partition=partition,
        source_offset=offset,
    )


def _anomaly(event: Mapping[str, Any], rule: str, *, critical: bool, escalates: bool, **more: Any) -> Anomaly:
    return Anomaly(
        anomaly_id=derived_hex(rule, event["run_id"]),
        rule=rule,
        state="escalated" if escalates else "open",
        severity="critical" if critical else "warning",
        ts_ms=event["ts_ms"],
        agent=event["agent"],
        agent_version=event["agent_version"],
        model=event["model"],
        run_id=event["run_id"],
        step_id=event["step_id"],
        **more,
    )
