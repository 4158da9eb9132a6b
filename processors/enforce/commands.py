"""An anomaly as a command: whom it binds, until when, why, and what it is known by."""

from __future__ import annotations

from dataclasses import replace

from ...control.scopes import ScopeError, agent_scope, dry_scope, parse, run_scope
from ...schemas.anomalies import Anomaly
from ...schemas.controls import Control, Mode
from ...schemas.ids import derived_hex, derived_id
from ...schemas.rule_names import CAPPED, RUN_RULES
from ...settings.policy import HOUR_MS, PolicyRule

POLICY = "policy:"
MOST_WHY = 2_000
"""Characters of a reason; who reads commands takes twice as many."""


def wanted(entry: PolicyRule, anomaly: Anomaly, log_ms: int) -> Control | None:
    """What the entry asks for because of an anomaly; None where that names nobody who can be told."""
    scope = _scope(entry, anomaly)
    if scope is None:
        return None
    mode: Mode = "disable_writes" if entry.action == "disable_writes" else "stop"
    return Control(
        # The same whenever the same message is read: what is sent again after a crash is no second one.
        control_id=derived_id(anomaly.anomaly_id, entry.action, scope, log_ms),
        scope=scope,
        mode=mode,
        ts_ms=log_ms,
        expires_ms=log_ms + entry.duration,
        why=_why(anomaly),
        by=POLICY + anomaly.rule,
        anomaly_id=anomaly.anomaly_id,
    )


def _scope(entry: PolicyRule, anomaly: Anomaly) -> str | None:
    """Of writes, the narrowest that the trouble is about."""
    of_run = entry.action == "stop_run" or (entry.action == "disable_writes" and anomaly.rule in RUN_RULES)
    agent = "" if anomaly.agent == "*" else anomaly.agent
    scope = run_scope(anomaly.run_id or "") if of_run else agent_scope(agent)
    try:
        parse(scope)
    except ScopeError:
        return None
    return scope


def noted(control: Control) -> Control:
    """The command as one that would have been given: it binds nobody."""
    scope = dry_scope(control.scope)
    return replace(control, scope=scope, control_id=derived_id(control.control_id, scope))


def lifted(control: Control, resolved: Anomaly, log_ms: int) -> Control:
    """The end of a command, with the end of its anomaly."""
    return replace(
        control,
        control_id=derived_id(control.control_id, "lifted"),
        mode="allow",
        ts_ms=log_ms,
        # After its own end there is nothing left to lift, and what has expired is cleared away in time.
        expires_ms=max(control.expires_ms or 0, log_ms),
        why=_why(resolved),
    )


def handed_on(control: Control, resolved: Anomaly, log_ms: int) -> Control:
    """A command that had been covered by another, whose anomaly has ended."""
    return replace(control, control_id=derived_id(control.control_id, resolved.anomaly_id), ts_ms=log_ms)


def restored(control: Control) -> Control:
    """A command that stands, to be said once more: whoever reads it knows by its id that it is the same, again."""
    return replace(control, control_id=derived_id(control.control_id, "restored"))


def of_policy(control: Control) -> bool:
    """Whether a policy gave the command, and not a person."""
    return control.by.startswith(POLICY)


def capped(entry: PolicyRule, control: Control, anomaly: Anomaly) -> Anomaly:
    """That an entry asks for more than it may: one anomaly an hour of log time, whoever tells it, and however often."""
    hour = control.ts_ms // HOUR_MS
    of = "" if entry.agents == "*" else f" of {entry.agents}"
    whom = "runs" if control.scope.startswith("run:") else "agents"
    return Anomaly(
        anomaly_id=derived_hex(CAPPED, entry.rule, entry.agents, entry.action, entry.least, hour),
        rule=CAPPED,
        state="open",
        severity="critical",
        ts_ms=control.ts_ms,
        onset_ms=control.ts_ms,
        agent="*",
        value=float(entry.most_runs_an_hour + 1),
        baseline=float(entry.most_runs_an_hour),
        message=f"The policy's entry for {entry.rule}{of} asks to {entry.action} more than "
        f"{entry.most_runs_an_hour:,} {whom} within an hour: those beyond are left alone, and only noted. Is the rule "
        f"wrong, or the whole fleet? The latest: {anomaly.message}"[:MOST_WHY],
    )


def _why(anomaly: Anomaly) -> str:
    return (anomaly.message.strip() or f"{anomaly.rule} is {anomaly.state}.")[:MOST_WHY]
