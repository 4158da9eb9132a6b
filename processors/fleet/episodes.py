"""One episode: the anomalies of the same trouble, from when it opens until it is resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ...schemas.anomalies import Anomaly, Severity, State
from ...schemas.ids import derived_hex

MANY = "*"
"""The agent of an anomaly that hits several."""

_LEVELS: tuple[Severity, ...] = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule sees in a window."""

    severity: Severity
    ts_ms: int
    value: float
    agent: str
    message: str
    baseline: float | None = None
    run_id: str | None = None
    period: int | None = None


@dataclass(slots=True)
class Episode:
    """Open trouble."""

    anomaly_id: str
    rule: str
    onset_ms: int
    tool: str | None
    last: Anomaly | None = field(default=None)

    @classmethod
    def about(cls, rule: str, *what: str, onset_ms: int, tool: str | None = None) -> Episode:
        """An episode that nothing was said of yet; its id derives from the rule, what it is about, and its onset."""
        return cls(derived_hex(rule, *what, onset_ms), rule, onset_ms, tool)

    def is_worse(self, severity: Severity) -> bool:
        """Whether that is worse than what was said."""
        return self.last is None or _LEVELS.index(severity) > _LEVELS.index(self.last.severity)

    def found(self, finding: Finding) -> Anomaly:
        """The anomaly that opens the episode, or escalates it."""
        self.last = self._anomaly("open" if self.last is None else "escalated", finding)
        return self.last

    def resolved(self, ts_ms: int, value: float, message: str) -> Anomaly:
        """The anomaly that ends it."""
        assert self.last is not None
        last = self.last
        ended = Finding(last.severity, ts_ms, value, last.agent, message, last.baseline, last.run_id, last.period)
        return self._anomaly("resolved", ended)

    def _anomaly(self, state: State, finding: Finding) -> Anomaly:
        return Anomaly(
            anomaly_id=self.anomaly_id,
            rule=self.rule,
            state=state,
            severity=finding.severity,
            ts_ms=finding.ts_ms,
            onset_ms=self.onset_ms,
            agent=finding.agent,
            run_id=finding.run_id,
            tool=self.tool,
            value=finding.value,
            baseline=finding.baseline,
            period=finding.period,
            message=finding.message,
        )


def agent_of(agents: list[str]) -> str:
    """The agent that an anomaly is filed under."""
    return agents[0] if len(agents) == 1 else MANY


def clock(ts_ms: int) -> str:
    """A time for people: hour and minute, UTC."""
    return f"{datetime.fromtimestamp(ts_ms / 1000, UTC):%H:%M} UTC"


def counted(count: int, what: str) -> str:
    """1 run, 2 runs."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
