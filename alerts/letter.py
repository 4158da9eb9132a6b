"""A message to a person, before it is put into words: which episodes it tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..schemas.anomalies import Anomaly, Severity
from ..schemas.ids import derived_hex
from .choose import LEVELS


@dataclass(frozen=True, slots=True)
class News:
    """One episode in a message."""

    anomaly: Anomaly
    """As it opened or escalated; of one that was told before and is over, its end."""
    ended: Anomaly | None = None
    """Its end, where it began and ended before anybody could be told."""

    @property
    def kind(self) -> Literal["open", "resolved", "passed"]:
        if self.ended is not None:
            return "passed"
        return "resolved" if self.anomaly.state == "resolved" else "open"

    @property
    def last(self) -> Anomaly:
        """How it stands once it is told."""
        return self.ended or self.anomaly


@dataclass(frozen=True, slots=True)
class Letter:
    """What is told at once."""

    news: tuple[News, ...]
    is_test: bool = False

    @property
    def key(self) -> str:
        """The same for the same news: receivers may know by it that they have it already."""
        return derived_hex(*sorted(f"{one.last.anomaly_id} {one.last.state}" for one in self.news))

    @property
    def thread(self) -> str:
        """The same for the beginning and the end of an episode."""
        return derived_hex(*sorted(one.last.anomaly_id for one in self.news))

    @property
    def kind(self) -> Literal["open", "resolved", "passed", "several", "test"]:
        """What its news are, if all are the same."""
        if self.is_test:
            return "test"
        kinds = {one.kind for one in self.news}
        return kinds.pop() if len(kinds) == 1 else "several"

    @property
    def worst(self) -> News:
        """The most severe of its news, of those the first."""
        return max(self.news, key=lambda one: LEVELS[one.anomaly.severity])

    @property
    def severity(self) -> Severity:
        return self.worst.anomaly.severity


def trial_letter(now_ms: int) -> Letter:
    """A message that says it is a test."""
    anomaly = Anomaly(
        anomaly_id=derived_hex("test", now_ms),
        rule="test.alert",
        state="open",
        severity="warning",
        ts_ms=now_ms,
        onset_ms=now_ms,
        agent="runwatch",
        value=1.0,
        message="This is a test of runwatch's alerts; nothing is wrong.",
    )
    return Letter((News(anomaly),), is_test=True)
