"""What a receiver is told of: what the policy lets be told, of that what it asks for, unless it is silenced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..control.scopes import parse
from ..control.state import ControlState
from ..schemas.anomalies import Anomaly, Severity
from ..settings.alerts import Receiver, Silence

LEVELS: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}

MayBeTold = Callable[[Anomaly], bool]
"""Whether the policy lets an anomaly be told."""


def never_ends(anomaly: Anomaly) -> bool:
    """Whether nobody will say that it is over: a loop is one run's, and that a policy asked for too much is once."""
    return anomaly.rule.startswith(("loop.", "policy."))


@dataclass(frozen=True)
class Choice:
    """One receiver's own filter, behind the policy's."""

    receiver: Receiver
    may_be_told: MayBeTold

    def wants(self, anomaly: Anomaly) -> bool:
        """Whether the receiver is to hear of an anomaly that is open."""
        return (
            LEVELS[anomaly.severity] >= LEVELS[self.receiver.severity]
            and _any(self.receiver.rules, anomaly.rule)
            and _any(self.receiver.agents, anomaly.agent)
            and self.may_be_told(anomaly)
        )


def _any(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Quiet:
    """A silence, wherever it comes from."""

    rule: str
    agent: str
    since_ms: int | None
    until_ms: int | None
    why: str
    by: str

    def holds(self, now_ms: int) -> bool:
        return (self.since_ms is None or self.since_ms <= now_ms) and (self.until_ms is None or now_ms < self.until_ms)

    def covers(self, rule: str, agent: str) -> bool:
        return fnmatchcase(rule, self.rule) and fnmatchcase(agent, self.agent)


class Silences:
    """Those of the settings file, and those that `runwatch silence` sent."""

    def __init__(self, settings: Iterable[Silence], state: ControlState) -> None:
        self._fixed = [_of_settings(one) for one in settings]
        self._state = state
        self._version = -1
        self._sent: list[Quiet] = []

    def standing(self, now_ms: int) -> list[Quiet]:
        """Those that hold, or will."""
        if self._version != self._state.version:
            self._version, self._sent = self._state.version, sent_silences(self._state)
        return [one for one in (*self._fixed, *self._sent) if one.until_ms is None or now_ms < one.until_ms]

    def silenced(self, rule: str, agent: str, now_ms: int) -> bool:
        """Whether nobody is told of the rule at the agent now."""
        return any(one.holds(now_ms) and one.covers(rule, agent) for one in self.standing(now_ms))


def _of_settings(silence: Silence) -> Quiet:
    since, until = (None if at is None else int(at.timestamp() * 1000) for at in (silence.since, silence.until))
    return Quiet(silence.rule, silence.agent, since, until, silence.why, "the settings")


def sent_silences(state: ControlState) -> list[Quiet]:
    """The silences among the commands that were sent, expired ones left to be looked at."""
    found = []
    for control in state.commands(0):
        scope = parse(control.scope)
        if scope.kind == "alerts" and control.mode == "stop":
            rule, _, agent = scope.name.rpartition("@")
            found.append(Quiet(rule, agent, None, control.expires_ms, control.why, control.by))
    return found
