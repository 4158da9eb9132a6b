"""Anomalies in, commands out, by a policy.

What is commanded follows from the anomalies, their log times, and what stands in the control topic. That topic is
the memory: a command is given once because it stands there, also for a worker that begins anew. Only the caps and
what else is open of an agent are remembered here, and both follow from the anomalies of the last hours.
"""

from __future__ import annotations

from ...control.scopes import agent_scope, dry_scope, parse
from ...control.state import STRICTNESS, ControlState
from ...schemas.anomalies import Anomaly
from ...schemas.controls import Control
from ...schemas.rule_names import POLICY_RULES
from ...settings.policy import HOUR_MS, Policy
from .asked import Asked
from .commands import capped, handed_on, lifted, noted, of_policy, wanted

NOTED = 1_000
"""How many that are beyond an entry's cap are noted within an hour: every agent reads the topic."""
SWEPT_AT = 1_000
"""As many open wishes, and those that have expired are looked for."""


class Enforcer:
    """One policy's work. Feed it the anomalies in the order of the log."""

    def __init__(self, policy: Policy, state: ControlState) -> None:
        """`state`: what stands in the control topic; what is commanded here is noted there at once."""
        self._policy = policy
        self._state = state
        self._asked = [Asked(entry.most_runs_an_hour + NOTED) for entry in policy.rules]
        # Place of an entry → the hour of log time in which it was last said to be capped.
        self._said: dict[int, int] = {}
        # Scope of an agent → anomaly → what is wanted while it is open.
        self._open: dict[str, dict[str, Control]] = {}

    def take(self, anomaly: Anomaly, log_ms: int, *, replay: bool = False) -> list[Control | Anomaly]:
        """What is to be said because of an anomaly that the broker appended at `log_ms`.

        A replayed one was acted upon: it is only remembered.
        """
        if not self._policy.enabled or anomaly.rule in POLICY_RULES:
            return []
        if anomaly.state == "resolved":
            return self._resolved(anomaly, log_ms, replay)
        at = next((at for at, entry in enumerate(self._policy.rules) if entry.matches(anomaly)), None)
        if at is None or not self._policy.rules[at].commands:
            return []
        control = wanted(self._policy.rules[at], anomaly, log_ms)
        return [] if control is None else self._wanted(at, control, anomaly, replay)

    def _wanted(self, at: int, control: Control, anomaly: Anomaly, replay: bool) -> list[Control | Anomaly]:
        entry = self._policy.rules[at]
        out: list[Control | Anomaly] = []
        others = self._asked[at].others(control.scope, control.ts_ms)
        granted = others < entry.most_runs_an_hour
        if not granted and self._is_news(at, control.ts_ms):
            out.append(capped(entry, control, anomaly))
        if granted and parse(control.scope).kind == "agent":
            self._keep_open(control)
        if replay:
            return []
        if others >= entry.most_runs_an_hour + NOTED:
            return out
        dry = self._policy.dry_run or not granted
        if self._is_covered(control, control) or (dry and self._is_covered(noted(control), control)):
            return out
        return [*out, self._given(noted(control) if dry else control)]

    def _is_news(self, at: int, log_ms: int) -> bool:
        hour = log_ms // HOUR_MS
        said, self._said[at] = self._said.get(at), hour
        return said != hour

    def _is_covered(self, there: Control, control: Control) -> bool:
        """Whether what stands in the scope of `there` makes the command needless, or forbids it."""
        standing = self._state.standing(there.scope, control.ts_ms)
        if standing is None:
            return False
        if standing.ts_ms > control.ts_ms:
            return True  # it was given with more knowledge, whoever gave it
        if standing.mode == "allow" and not of_policy(standing):
            # Who allows a run knows what it does. For how long is theirs to say, and else it is not for ever.
            holds_ms = (control.expires_ms or 0) - control.ts_ms
            return standing.expires_ms is not None or standing.ts_ms + holds_ms > control.ts_ms
        if STRICTNESS[standing.mode] != STRICTNESS[control.mode]:
            return STRICTNESS[standing.mode] > STRICTNESS[control.mode]
        # A person's may end sooner, and what is known now is to hold; the policy's own is not prolonged.
        return of_policy(standing) or standing.expires_ms is None or standing.expires_ms >= (control.expires_ms or 0)

    def _given(self, control: Control) -> Control:
        self._state.apply(control)
        return control

    # -- ends --------------------------------------------------------------------------------------

    def _keep_open(self, control: Control) -> None:
        self._open.setdefault(control.scope, {})[control.anomaly_id or ""] = control
        if len(self._open) > SWEPT_AT:
            for scope in list(self._open):
                self._wishes(scope, control.ts_ms)

    def _wishes(self, scope: str, log_ms: int) -> dict[str, Control]:
        """What is wanted of an agent and has not expired."""
        left = {of: one for of, one in self._open.pop(scope, {}).items() if (one.expires_ms or 0) > log_ms}
        if left:
            self._open[scope] = left
        return left

    def _resolved(self, anomaly: Anomaly, log_ms: int, replay: bool) -> list[Control | Anomaly]:
        scope = agent_scope(anomaly.agent)
        self._open.get(scope, {}).pop(anomaly.anomaly_id, None)
        if replay:
            return []
        out: list[Control | Anomaly] = []
        for there in (scope, dry_scope(scope)):
            standing = self._state.standing(there, log_ms)
            if (
                standing is not None
                and standing.anomaly_id == anomaly.anomaly_id
                and standing.mode != "allow"
                and of_policy(standing)
            ):
                out.append(self._given(self._next(standing, anomaly, log_ms)))
        return out

    def _next(self, standing: Control, resolved: Anomaly, log_ms: int) -> Control:
        """What comes after a command whose trouble is over: what another that is open asks for, or nothing more."""
        scope = agent_scope(resolved.agent)
        left = self._wishes(scope, log_ms)
        if not left:
            return lifted(standing, resolved, log_ms)
        strictest = max(left.values(), key=lambda one: (STRICTNESS[one.mode], one.expires_ms or 0, one.control_id))
        after = handed_on(strictest, resolved, log_ms)
        return after if standing.scope == scope else noted(after)
