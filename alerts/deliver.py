"""One receiver's loop: reads the anomalies, tells of them, notes that it did, commits. In this order.

What is read is committed once nothing of it waits any more. Whoever begins again reads from there, and knows from
`memory` what was told since. So only a crash between the receiver's answer and our note of it makes a message come
twice, with the same key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from ..metrics.names import ALERT_DELAY
from ..metrics.spread import Spread
from ..schemas.anomalies import Anomaly
from ..schemas.registry import Registry
from ..schemas.wire import WireError
from .build import Sender
from .memory import Memory, NotRemembered, read_anomaly
from .outbox import Offsets
from .patience import Patience
from .senders.unsent import Unsent
from .told import Told

log = logging.getLogger(__name__)

CHUNK = 500
POLL_S = 0.2
COMMIT_S = 1.0
NOTE_AGAIN_S = 24 * 3_600.0
"""What is open is noted again, since notes are kept for a week, and episodes may last."""
LOOK_BACK_MS = 600_000
"""A receiver that is new hears of what was found so long ago at the most."""
ASK_S = 10.0


class Desk(Protocol):
    """What is said and when: an `Outbox`, or an Alertmanager's `Stand`."""

    def take(self, anomaly: Anomaly, partition: int, offset: int, now_ms: int) -> None: ...
    def next(self, now_ms: int) -> Any: ...
    def done(self, message: Any, now_ms: int) -> list[Anomaly]: ...
    def failed(self, message: Any, *, arrived: bool) -> None: ...
    def settled(self, positions: Offsets) -> dict[int, int]: ...
    @property
    def waiting(self) -> int: ...
    @property
    def full(self) -> bool: ...


@dataclass(slots=True)
class Stats:
    """What was done for one receiver so far; read by anyone."""

    sent: int = 0
    """Messages that arrived."""
    failed: int = 0
    """Tries that did not."""
    given_up: int = 0
    """Messages that the receiver would not take."""
    waiting: int = 0
    """Episodes that wait to be told."""
    is_away: bool = False
    delays: Spread = field(default_factory=lambda: Spread(ALERT_DELAY.bounds))
    """Seconds from an anomaly's event to the receiver's answer."""


def consumer_config(group: str, extra: dict[str, Any]) -> dict[str, Any]:
    """librdkafka's settings; `extra` has `bootstrap.servers`."""
    return {
        "group.id": group,
        "client.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "range",
        # One that was killed is missed after so long, and another one, or the next, takes over.
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 2_000,
        # A mail server may take its time; heartbeats go on meanwhile.
        "max.poll.interval.ms": 300_000,
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 1 << 10,
        "topic.metadata.refresh.interval.ms": 10_000,
        "allow.auto.create.topics": False,
        "log_level": 0,
        **extra,
    }


class Delivery:
    """One receiver's; `run` in a thread of its own."""

    def __init__(
        self,
        name: str,
        sender: Sender,
        desk: Callable[[Told], Desk],
        memory: Memory,
        registry: Registry,
        config: dict[str, Any],
        topic: str,
    ) -> None:
        """`config` as `consumer_config` has it; `desk` is asked for one whenever partitions are assigned."""
        self._name = name
        self._sender = sender
        self._make_desk = desk
        self._memory = memory
        self._registry = registry
        self._topic = topic
        self._consumer = Consumer({**config, "error_cb": self._on_error})
        self._desk: Desk | None = None
        self._positions: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._commit_at_s = 0.0
        self._unnoted: list[Anomaly] = []
        self._told = Told()
        self._note_again_s = 0.0
        self._patience = Patience(name)
        self._kafka_is_away = False
        self._held = False
        self.stats = Stats()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises what Kafka has that waiting does not mend; to be run again then."""
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not stop.is_set():
                self._step()
        finally:
            self._commit(asynchronous=False)
            self._consumer.close()

    def _step(self) -> None:
        self._hold(self._desk is not None and self._desk.full)
        self._read(CHUNK, POLL_S)
        if self._desk is None:
            return
        now_s = time.monotonic()
        if now_s >= self._note_again_s and not self._unnoted:
            self._note_again_s = now_s + NOTE_AGAIN_S
            self._unnoted = list(self._told.open())
        self._note()
        if not self._unnoted and now_s >= self._patience.next_s:
            self._tell(self._desk)
        self.stats.waiting, self.stats.is_away = self._desk.waiting, self._patience.is_away
        if now_s >= self._commit_at_s:
            self._commit_at_s = now_s + COMMIT_S
            self._commit(asynchronous=True)

    def _hold(self, full: bool) -> None:
        """Reads no further while too much waits; what is more waits in Kafka."""
        if full != self._held:
            self._held = full
            (self._consumer.pause if full else self._consumer.resume)(self._consumer.assignment())

    def _read(self, most: int, patience_s: float) -> None:
        # `consume` would wait for as many as are asked for.
        first = self._consumer.poll(patience_s)
        if first is None:
            return
        for message in (first, *self._consumer.consume(most - 1, 0)):
            error = message.error()
            if error is not None:
                self._on_error(error)
            elif self._desk is not None:
                self._kafka_is_away = False
                self._take(self._desk, message)

    def _take(self, desk: Desk, message: Message) -> None:
        partition, offset = message.partition() or 0, message.offset() or 0
        self._positions[partition] = offset + 1
        try:
            anomaly = read_anomaly(message.value(), self._registry)
        except WireError:
            return  # the sink keeps it in the dead letters
        desk.take(anomaly, partition, offset, _now_ms())

    def _tell(self, desk: Desk) -> None:
        message = desk.next(_now_ms())
        if message is None:
            return
        gives_up = False
        try:
            self._sender.send(message)
        except Unsent as error:
            self.stats.failed += 1
            gives_up = self._patience.failed(error, desk.waiting, time.monotonic())
            if not gives_up:
                desk.failed(message, arrived=error.arrived)
                return
            self.stats.given_up += 1
        else:
            self.stats.sent += 1
            self._patience.worked(desk.waiting, time.monotonic())
        now_ms = _now_ms()
        self._unnoted = desk.done(message, now_ms)
        if not gives_up:
            for anomaly in self._unnoted:
                if anomaly.state != "resolved":
                    self.stats.delays.add(max(0.0, (now_ms - anomaly.ts_ms) / 1000))
        self._note()

    def _note(self) -> None:
        """Notes what was told. Nothing more is told before that is done."""
        if not self._unnoted:
            return
        try:
            self._memory.remember(self._name, self._unnoted)
        except NotRemembered as error:
            self._trouble(str(error))
            return
        self._unnoted = []
        self._kafka_is_away = False

    def _commit(self, *, asynchronous: bool) -> None:
        if self._desk is None or self._unnoted:
            return
        settled = self._desk.settled(self._positions)
        news = {partition: offset for partition, offset in settled.items() if self._committed.get(partition) != offset}
        if not news:
            return
        try:
            places = [TopicPartition(self._topic, partition, offset) for partition, offset in news.items()]
            self._consumer.commit(offsets=places, asynchronous=asynchronous)
            self._committed.update(news)
        except KafkaException as error:
            # No harm: what was told is known, whoever reads it again.
            log.info("%s: offsets not committed: %s", self._name, error.args[0].str())

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if not places:
            return  # another process tells this receiver
        starts = consumer.committed(places, timeout=ASK_S)
        new = [place.partition for place in starts if place.offset == OFFSET_INVALID]
        starts = [*(place for place in starts if place.offset != OFFSET_INVALID), *self._lately(consumer, new)]
        told = Told()
        for anomaly in self._memory.told(self._name):
            told.put(anomaly)
        self._told, self._note_again_s = told, 0.0
        self._desk = self._make_desk(told)
        self._positions = {place.partition: place.offset for place in starts if place.offset >= 0}
        self._committed = {}
        self._held = False
        consumer.assign(starts)
        log.info("%s is told of what is found", self._name)

    def _lately(self, consumer: Consumer, partitions: list[int]) -> list[TopicPartition]:
        """Where to begin for a receiver that is new: at what was found lately."""
        # Asked first, and as numbers. Where nothing was found lately, Kafka answers "the end", which is where the topic
        # ends when the reading begins, half a second later: what is found meanwhile would be told to nobody.
        ends = {
            partition: consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=ASK_S, cached=False
            )[1]
            for partition in partitions
        }
        since = [TopicPartition(self._topic, partition, _now_ms() - LOOK_BACK_MS) for partition in partitions]
        found = consumer.offsets_for_times(since, timeout=ASK_S) if since else []
        return [
            place if place.offset >= 0 else TopicPartition(self._topic, place.partition, ends[place.partition])
            for place in found
        ]

    def _on_revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._commit(asynchronous=False)
        self._forget()
        consumer.unassign()

    def _on_lost(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._forget()
        consumer.unassign()

    def _forget(self) -> None:
        self._desk, self._positions, self._unnoted = None, {}, []

    def _on_error(self, error: KafkaError) -> None:
        if error.code() not in (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT):
            self._trouble(f"Kafka: {error.str()}")

    def _trouble(self, what: str) -> None:
        if not self._kafka_is_away:
            self._kafka_is_away = True
            log.warning("%s: %s Trying on", self._name, what)


def _now_ms() -> int:
    return int(time.time() * 1000)
