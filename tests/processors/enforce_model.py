"""Anomalies to test the policy with, a topic that holds what was commanded, and a plain model of what should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runwatch.control.state import ControlState
from runwatch.processors.enforce.enforcer import Enforcer
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.controls import Control
from runwatch.schemas.ids import derived_hex
from runwatch.settings.policy import HOUR_MS, Policy

from .support import T0

Log = Sequence[tuple[int, Anomaly]]
"""Log time and anomaly, in the order of the log."""


def anomaly(rule: str = "loop.repeat", run: str | None = "r", **given: Any) -> Anomaly:
    """A critical anomaly of agent `a` unless told otherwise; a run's where the rule is about runs."""
    run_id = run if rule.startswith("loop.") else None
    agent = given.pop("agent", "a")
    fields: dict[str, Any] = {
        "anomaly_id": derived_hex(rule, run_id or agent),
        "state": "open",
        "severity": "critical",
        "ts_ms": T0,
        "onset_ms": T0,
        "value": 5.0,
        "message": f"{rule} of {run_id or agent}.",
    }
    return Anomaly(rule=rule, agent=agent, run_id=run_id, **(fields | given))


class Topic:
    """The control topic, and a state that follows it."""

    def __init__(self) -> None:
        self.commands: list[Control] = []

    def add(self, out: Sequence[Control | Anomaly]) -> None:
        self.commands += [one for one in out if isinstance(one, Control)]

    def state(self) -> ControlState:
        """What a worker knows that has just read it."""
        state = ControlState()
        for one in self.commands:
            state.apply(one)
        return state


def said(policy: Policy, log: Log, topic: Topic | None = None) -> list[Control | Anomaly]:
    """What a worker says that lives through all of the log."""
    enforcer = Enforcer(policy, (topic or Topic()).state())
    return [one for log_ms, its in log for one in enforcer.take(its, log_ms)]


def expected_stops(policy: Policy, log: Log) -> list[tuple[int, str, bool]]:
    """Of a policy whose entries stop runs: when, which run, and whether it was left alone for a cap. Nothing forgotten.

    The plain model: for each anomaly it looks through all of the log before it.
    """
    out: list[tuple[int, str, bool]] = []
    asked: list[tuple[int, int, str]] = []
    for log_ms, its in log:
        at = next((at for at, entry in enumerate(policy.rules) if entry.matches(its)), None)
        if at is None or policy.rules[at].action != "stop_run" or its.state == "resolved":
            continue
        entry = policy.rules[at]
        run = str(its.run_id)
        others = {who for when, which, who in asked if which == at and when > log_ms - HOUR_MS and who != run}
        is_capped = len(others) >= entry.most_runs_an_hour
        asked.append((log_ms, at, run))
        in_force = {
            dry
            for when, who, dry in out
            if who == run
            for duration in [next(one for one in policy.rules if one.action == "stop_run").duration]
            if when + duration > log_ms
        }
        if False in in_force or (is_capped and True in in_force):
            continue
        out.append((log_ms, run, is_capped))
    return out
