"""What is seen while faults come and go: how far behind the readers are, and when each loop was told of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from runwatch.config import Settings
from runwatch.schemas.avro import load
from runwatch.schemas.topics import ANOMALIES, EVENTS
from runwatch.schemas.wire import WireError, decode_body, split

GROUPS = ("processors", "sink")
EVERY_S = 0.5
STALE_S = 10.0
"""On a busy machine an answer takes its time."""


@dataclass(frozen=True)
class Lag:
    """How many events a group has not committed, at a time."""

    at: float
    by_group: dict[str, int]
    end: int
    """Events and others in the topic."""


@dataclass
class Seen:
    """What was noted. Times are the wall's clock, seconds."""

    lags: list[Lag] = field(default_factory=list)
    told: dict[str, float] = field(default_factory=dict)
    """When a loop of a run was first told of, by the run's id."""
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Resident MB of each process, over time."""


class Watch:
    """Looks from outside until it is closed."""

    def __init__(self, settings: Settings, memory: Callable[[], dict[str, float]]) -> None:
        self.seen = Seen()
        self._settings = settings
        self._memory = memory
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._again, args=(look,), name=f"chaos-{look.__name__}", daemon=True)
            for look in (self._lags, self._anomalies, self._sizes)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the looking."""
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def behind(self, group: str) -> int | None:
        """What the group had not committed when that was last known; None where nobody could tell lately."""
        lags = self.seen.lags
        if not lags or time.time() - lags[-1].at > STALE_S:
            return None
        return lags[-1].by_group[group]

    def _again(self, look: Callable[[], None]) -> None:
        while not self._stop.is_set():
            with suppress(KafkaException):
                look()
            self._stop.wait(0.5)

    def _lags(self) -> None:
        topic = self._settings.topic(EVENTS.name)
        places = [TopicPartition(topic, number) for number in range(self._settings.partitions)]
        names = {group: f"{self._settings.prefix}runwatch-{group}" for group in GROUPS}
        readers = {group: self._consumer(name) for group, name in names.items()}
        admin = AdminClient(self._settings.kafka_client(log_level=0))
        latest = {place: OffsetSpec.latest() for place in places}
        try:
            while not self._stop.wait(EVERY_S):
                # Committed first: what comes in meanwhile makes the lag too large, never too small.
                committed = {
                    group: sum(max(0, place.offset) for place in reader.committed(places, timeout=5))
                    for group, reader in readers.items()
                }
                answers = admin.list_offsets(latest, request_timeout=5).values()
                end = sum(answer.result(6).offset for answer in answers)
                by_group = {group: end - done for group, done in committed.items()}
                self.seen.lags.append(Lag(time.time(), by_group, end))
        finally:
            for reader in readers.values():
                reader.close()

    def _anomalies(self) -> None:
        schema = load("anomaly")
        with closing(self._consumer("chaos-anomalies")) as consumer:
            consumer.assign([TopicPartition(self._settings.topic(ANOMALIES.name), 0, 0)])
            while not self._stop.is_set():
                message = consumer.poll(0.2)
                if message is None or message.error() is not None:
                    continue
                with suppress(WireError):
                    anomaly = decode_body(split(message.value())[1], schema)
                    if anomaly["rule"].startswith("loop."):
                        self.seen.told.setdefault(anomaly["run_id"], time.time())

    def _sizes(self) -> None:
        while not self._stop.wait(5):
            now = time.time()
            for name, size in self._memory().items():
                if size:
                    self.seen.memory.setdefault(name, []).append((now, size))

    def _consumer(self, group: str) -> Consumer:
        return Consumer(
            self._settings.kafka_client(
                **{"group.id": group, "enable.auto.commit": False, "fetch.wait.max.ms": 50, "log_level": 0}
            )
        )


def recovered_s(lags: list[Lag], group: str, began: float, ended: float, near: int) -> float | None:
    """Seconds from `began` until the group is, and stays for two looks, within `near` messages of the end.

    `ended`: when the fault did; whoever keeps up all through it has recovered at once, 0. None where it never does.
    """
    after = [lag for lag in lags if lag.at >= began]
    behind = [lag.at for lag in after if lag.by_group[group] > near]
    if not behind:
        return 0.0 if after else None
    first = next((at for at in behind if at <= ended + 30), None)
    if first is None:
        return 0.0
    for one, two in pairwise(after):
        if one.at > first and one.at >= ended and one.by_group[group] <= near and two.by_group[group] <= near:
            return one.at - began
    return None


def late_s(loops: dict[str, float], told: dict[str, float], began: float, until: float) -> float:
    """Seconds from `began` until every loop that was complete by then, and not told within 2 s, had been told of.

    Only loops that were complete between `began` and `until` count; 0 where all of these were told in time.
    """
    over = [
        told[run] - began for run, at in loops.items() if began <= at < until and run in told and told[run] - at > 2.0
    ]
    return max(over, default=0.0)
