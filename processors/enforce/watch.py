"""The anomaly topic's side: frames of anomalies in, commands out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import polars as pl

from ...control.state import ControlState
from ...schemas.anomalies import Anomaly
from ...schemas.controls import Control
from ...schemas.registry import Registry
from ...settings.policy import HOUR_MS, Policy
from ..decode import FrameDecoder
from ..frames import Frame
from ..judging import JudgedTopic
from .commands import of_policy
from .enforcer import Enforcer

COLUMNS = (
    *("anomaly_id", "rule", "state", "severity", "ts_ms", "onset_ms"),
    *("agent", "agent_version", "run_id", "value", "message"),
)
"""What is read of an anomaly."""
CLEARED_AFTER_MS = 10 * 60_000
"""So long after its end a command of the policy is cleared away: who follows a little late still finds it."""
CLEARED_AT_ONCE = 500


class EnforceJudge:
    """The policy's work on the one partition that anomalies have."""

    def __init__(self, policy: Policy, state: ControlState, clock: Callable[[], int]) -> None:
        self._enforcer = Enforcer(policy, state)
        self._longest_ms = policy.longest_ms
        self._clock = clock

    def take(self, columns: pl.DataFrame, frame: Frame) -> list[Control | Anomaly]:
        """What is to be commanded because of these anomalies, and to be told of that."""
        now_ms = self._clock()
        out: list[Control | Anomaly] = []
        for at, row in zip(columns["_at"].to_list(), columns.select(COLUMNS).iter_rows(named=True), strict=True):
            log_ms = frame.log_ms if frame.each_log_ms is None else frame.each_log_ms[at]
            # Who was away for long, or is new to an old topic, has nothing to say of what is over.
            over = log_ms + self._longest_ms <= now_ms
            out += self._enforcer.take(Anomaly(**row), log_ms, replay=frame.replay or over)
        return [one for one in out if _ends_ms(one) > now_ms]

    def at_once(self, anomalies: Iterable[Anomaly]) -> list[Control | Anomaly]:
        """The same of anomalies that are only on their way into the topic."""
        now_ms = self._clock()
        return [one for anomaly in anomalies for one in self._enforcer.take(anomaly, now_ms)]

    def quiet(self, now_ms: int) -> list[Control | Anomaly]:
        """Nothing: where there are no anomalies, nothing is to be done."""
        return []


class EnforceWatch(JudgedTopic[EnforceJudge, Control | Anomaly]):
    """Frames of anomalies in, commands out, and scopes to clear away."""

    def __init__(self, registry: Registry, policy: Policy, state: ControlState, clock: Callable[[], int]) -> None:
        """`state`: what stands in the control topic, read to its end before a frame is taken; `clock`: ms."""
        super().__init__(FrameDecoder("anomaly", registry, COLUMNS), lambda: EnforceJudge(policy, state, clock))
        self._state = state

    def at_once(self, anomalies: Iterable[Anomaly]) -> list[Control | Anomaly]:
        """What this worker's own anomalies ask for, before they come around by the topic.

        One trip through the broker less, which is a third of the way from a loop to its end. Only where the topic is
        this worker's and read to its end, lest a cap be overlooked; others' anomalies come by the topic. So do these,
        once more, and ask for what stands already.
        """
        judge = self.caught_up(0)
        return [] if judge is None else judge.at_once(anomalies)

    def expired(self, now_ms: int) -> list[str]:
        """Scopes whose last command was the policy's and ended a while ago: nothing is lost when they are cleared."""
        ended = (one for one in self._state.expired(now_ms - CLEARED_AFTER_MS) if of_policy(one))
        return [one.scope for one in ended][:CLEARED_AT_ONCE]


def _ends_ms(one: Control | Anomaly) -> int:
    return one.ts_ms + HOUR_MS if isinstance(one, Anomaly) else one.expires_ms or 0
