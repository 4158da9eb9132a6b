"""Anomalies for tests of the alerts, and receivers that are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runwatch.alerts.outbox import Outbox, Pace
from runwatch.alerts.told import Told
from runwatch.schemas.anomalies import Anomaly

T0 = 1_790_000_000_000
MINUTE = 60_000
PACE = Pace(group_for_ms=MINUTE, group_at_most_ms=15 * MINUTE, per_hour=30)


def drift(name: str = "d1", **given: Any) -> Anomaly:
    """An episode of an agent's that will end."""
    return Anomaly(
        **{
            "anomaly_id": name, "rule": "drift.latency_p95", "state": "open", "severity": "warning", "ts_ms": T0,
            "onset_ms": T0 - MINUTE, "agent": "support", "value": 2.0, "baseline": 1.0, "message": f"{name} is slow.",
            **given,
        }
    )  # fmt: skip


def loop(name: str = "l1", **given: Any) -> Anomaly:
    """A run that loops."""
    return drift(
        name, **{"rule": "loop.repeat", "run_id": f"run-{name}", "severity": "critical", "tool": "search", **given}
    )


def over(anomaly: Anomaly, **given: Any) -> Anomaly:
    """The end of an episode."""
    return replace(anomaly, state="resolved", ts_ms=anomaly.ts_ms + 5 * MINUTE, **given)


def everything(_: Anomaly) -> bool:
    return True


def nothing_silenced(*_: Any) -> bool:
    return False


def outbox(told: Told | None = None, **given: Any) -> Outbox:
    return Outbox(
        given.pop("wants", everything), given.pop("silenced", nothing_silenced), given.pop("pace", PACE),
        Told() if told is None else told, **given,
    )  # fmt: skip


class Person:
    """Reads an outbox as it would be sent, and keeps what it was told."""

    def __init__(self, box: Outbox) -> None:
        self.box = box
        self.letters: list[Any] = []
        self.offset = 0

    def hear(self, *anomalies: Anomaly, at: int = T0) -> list[tuple[str, ...]]:
        """Takes these, and tells all that may be told then: of each letter the anomalies it tells of."""
        for anomaly in anomalies:
            self.box.take(anomaly, 0, self.offset, at)
            self.offset += 1
        found = []
        while (letter := self.box.next(at)) is not None:
            self.box.done(letter, at)
            self.letters.append(letter)
            found.append(tuple(f"{one.kind} {one.last.anomaly_id}" for one in letter.news))
        return found
