"""The sink's consumer: reads while the batch before is being stored, commits what is stored, gives way in order."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from ..deadletters.guard import Guard
from .batch import Batch, Limits, Place
from .stats import Stats
from .trouble import Trouble
from .writer import Stopped, Writer

log = logging.getLogger(__name__)

CHUNK = 10_000
"""Messages asked of the consumer at a time."""
POLL_S = 0.05
PAUSE_AFTER_S = 5.0
"""How long a full batch may wait for the one before it until partitions are paused: after that something is
away. Not at once, since a pause throws away what was fetched ahead."""
IN_FLIGHT = 2
"""Batches stored at a time. While ClickHouse works on one, the next is cut and packed. Nothing depends on which
comes first: offsets are committed in order, and what is stored is asked offset by offset."""
GIVE_WAY_S = 30.0
"""How long a rebalance waits for the inserts that are under way."""
REPORT_S = 30.0
LOOK_S = 1.0
"""How often the lag is looked at."""
ANSWER_S = 5.0
"""How long the broker may take to say where a topic was read up to."""


def consumer_config(bootstrap: str, group: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """librdkafka's settings for the sink."""
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "client.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Partitions that stay are read on while others move.
        "partition.assignment.strategy": "cooperative-sticky",
        # A sink that was killed is given up after this time; one that waits for ClickHouse still sends heartbeats.
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        # Small fetches when little happens, large ones after a pause.
        "fetch.wait.max.ms": 100,
        "fetch.min.bytes": 64 << 10,
        "fetch.message.max.bytes": 4 << 20,
        # The default lets the fetcher rest for a second whenever enough is fetched ahead: 150,000 messages/s
        # instead of 870,000.
        "fetch.queue.backoff.ms": 10,
        # What is fetched ahead, all partitions together.
        "queued.max.messages.kbytes": 32 << 10,
        # A topic that is made later is found within this time.
        "topic.metadata.refresh.interval.ms": 10_000,
        "allow.auto.create.topics": False,
        "log_level": 0,
        **(extra or {}),
    }


class Loop:
    """Reads, hands over, commits. One thread reads; `IN_FLIGHT` others store."""

    def __init__(
        self,
        config: dict[str, Any],
        topics: Iterable[str],
        writer: Writer,
        stats: Stats,
        limits: Limits,
        guard: Guard,
    ) -> None:
        self._topics = list(topics)
        self._writer = writer
        self._stats = stats
        self._limits = limits
        self._kafka = Trouble(log, "Kafka", time.monotonic)
        self._bootstrap = config["bootstrap.servers"]
        self._consumer = Consumer({**config, "error_cb": self._on_error, "on_commit": self._on_commit})
        self._batch = Batch()
        self._pending: deque[Future[dict[Place, int]]] = deque()
        self._owned: set[Place] = set()
        self._full_since: float | None = None
        self._paused = False
        self._guard = guard
        self._halted: dict[str, list[Future[dict[Place, int]]]] = {}
        """Topics that are held, and batches that were under way then: they are waited for before it is read again."""
        self._looking: Future[None] | None = None

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then finishes the inserts under way, commits them, and leaves the group."""
        # One more, who reads what is said of held topics.
        with ThreadPoolExecutor(IN_FLIGHT + 1, thread_name_prefix="sink-writer") as pool:
            self._consumer.subscribe(
                self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            reported = looked = time.monotonic()
            try:
                while not stop.is_set():
                    self._step(pool)
                    if time.monotonic() - looked >= LOOK_S:
                        looked = time.monotonic()
                        self._look()
                    if time.monotonic() - reported >= REPORT_S:
                        reported = time.monotonic()
                        self._report()
            finally:
                self._finish()
                self._report()
                self._consumer.close()

    def _step(self, pool: ThreadPoolExecutor) -> None:
        self._collect()
        self._mind_held(pool)
        now = time.monotonic()
        if len(self._pending) < IN_FLIGHT and self._batch.due(self._limits, now):
            self._pending.append(pool.submit(self._writer.store, self._batch))
            self._batch = Batch()
        if self._batch.full(self._limits):
            self._wait(now)
            return
        self._full_since = None
        if self._paused:
            self._consumer.resume([TopicPartition(*place) for place in self._owned if place[0] not in self._halted])
            self._paused = False
        self._read(CHUNK, self._patience(now))

    def _patience(self, now: float) -> float:
        """Seconds to wait for messages: not beyond the moment when the batch is due."""
        if self._batch.since is None or len(self._pending) == IN_FLIGHT:
            return POLL_S
        return min(POLL_S, max(0.001, self._batch.since + self._limits.linger_s - now))

    def _wait(self, now: float) -> None:
        """The batch is full and those before are not stored yet: waits, and stays in the group meanwhile."""
        if self._full_since is None:
            self._full_since = now
        if not self._paused and now - self._full_since >= PAUSE_AFTER_S and self._owned:
            self._consumer.pause([TopicPartition(*place) for place in self._owned])
            self._paused = True
        wait([each for each in self._pending if not each.done()], timeout=2 * POLL_S, return_when=FIRST_COMPLETED)
        # Serves rebalances; while not paused it may bring one message.
        self._read(1, 0)

    def _read(self, most: int, patience_s: float) -> None:
        messages = self._consumer.consume(most, patience_s)
        if not messages:
            return
        wrong = [message for message in messages if message.error() is not None]
        if wrong:
            for message in wrong:
                self._on_error(message.error())
            messages = [message for message in messages if message.error() is None]
        if messages:
            self._kafka.end()
        if self._halted:
            messages = [message for message in messages if message.topic() not in self._halted]
        if messages:
            self._batch.add(messages, time.monotonic())

    def _collect(self) -> None:
        """Commits the batches that are stored, in their order. Raises what the writer did not expect."""
        ends: dict[Place, int] = {}
        while self._pending and self._pending[0].done():
            ends |= self._pending.popleft().result()
        self._commit(ends, asynchronous=True)

    def _commit(self, ends: dict[Place, int], *, asynchronous: bool) -> None:
        # What is no longer ours is its new owner's to commit; and a batch that was under way when its topic was held
        # comes after one of which nothing is.
        offsets = [
            TopicPartition(*place, end)
            for place, end in ends.items()
            if place in self._owned and not (place[0] in self._halted or self._guard.is_held(place[0]))
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as error:
            # No harm: what is stored is not stored again, whoever reads it.
            log.info("offsets not committed: %s", error.args[0].str())

    def _mind_held(self, pool: ThreadPoolExecutor) -> None:
        """Stops reading topics that are held, and reads those again that are to be tried."""
        guard = self._guard
        if self._looking is not None and self._looking.done():
            if (error := self._looking.exception()) is not None:
                log.info("%s", error)
            self._looking = None
        if self._looking is None and guard.should_look:
            self._looking = pool.submit(guard.look)
        for topic in self._topics:
            if topic not in self._halted and guard.is_held(topic):
                self._halt(topic)
        for topic in guard.due():
            if topic in self._halted and not any(pending in self._pending for pending in self._halted[topic]):
                self._try_again(topic)

    def _halt(self, topic: str) -> None:
        self._halted[topic] = list(self._pending)
        self._batch.drop([place for place in self._batch.places if place[0] == topic])
        places = self._of(topic)
        if places:
            self._consumer.pause(places)

    def _try_again(self, topic: str) -> None:
        """Reads a held topic again, from where nothing of it is committed."""
        try:
            self._consumer.pause(self._of(topic))
            for place in self._consumer.committed(self._of(topic), timeout=ANSWER_S):
                place.offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
                self._consumer.seek(place)
        except KafkaException as error:
            log.info("%s is not read again yet: %s", topic, error.args[0].str())
            return
        self._writer.assigned([place for place in self._owned if place[0] == topic])
        del self._halted[topic]
        self._guard.try_again(topic)
        if not self._paused:
            self._consumer.resume(self._of(topic))

    def _of(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._owned if place[0] == topic]

    def _finish(self) -> None:
        """Waits for the inserts under way and commits them; a batch that cannot be stored is left to the next."""
        ends: dict[Place, int] = {}
        try:
            while self._pending:
                ends |= self._pending[0].result()
                self._pending.popleft()
        except Stopped:
            log.warning("the last batch could not be stored; its messages are read again at the next start")
        self._pending.clear()
        self._commit(ends, asynchronous=False)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        places = [(partition.topic, partition.partition) for partition in partitions]
        self._owned.update(places)
        self._writer.assigned(places)
        held = [partition for partition in partitions if partition.topic in self._halted]
        if held:
            self._consumer.pause(held)
        log.info("reads %s", _listed(self._owned))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        places = [(partition.topic, partition.partition) for partition in partitions]
        self._batch.drop(places)
        if not self._writer.in_trouble:
            # The new owner asks what is stored: what is under way must be there by then.
            wait(self._pending, timeout=GIVE_WAY_S)
            ends: dict[Place, int] = {}
            for pending in self._pending:
                if not pending.done() or pending.exception() is not None:
                    break
                ends |= pending.result()
            self._commit(ends, asynchronous=False)
        self._let_go(partitions)
        log.info("gave %s away", _listed(places))

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        places = [(partition.topic, partition.partition) for partition in partitions]
        self._batch.drop(places)
        self._let_go(partitions)
        log.warning("lost %s to another reader; what was under way is stored once all the same", _listed(places))

    def _let_go(self, partitions: list[TopicPartition]) -> None:
        # librdkafka remembers who was paused beyond an assignment: given back later, such a partition would never be
        # read again.
        self._consumer.resume(partitions)
        self._owned.difference_update((partition.topic, partition.partition) for partition in partitions)

    def _on_error(self, error: KafkaError) -> None:
        code = error.code()
        if code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE):
            self._kafka.begin(f"Kafka does not answer at {self._bootstrap} ({error.str()}); is it up? Trying on")
        elif code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            self._kafka.begin(f"Kafka at {self._bootstrap} lacks a topic ({error.str()}); `runwatch up` makes them")
        elif code != KafkaError._PARTITION_EOF:
            self._kafka.begin(f"Kafka at {self._bootstrap}: {error.str()}")

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        if error is not None and error.code() != KafkaError._NO_OFFSET:
            log.info("offsets not committed: %s", error.str())

    def _look(self) -> None:
        """Notes how far there is to read, and that we are at it."""
        lag = {}
        for place in list(self._owned):
            partition = TopicPartition(*place)
            try:
                low, high = self._consumer.get_watermark_offsets(partition, cached=True)
                position = self._consumer.position([partition])[0].offset
            except KafkaException:  # Not known yet, or nobody there to ask.
                continue
            if high >= 0:
                lag[place] = max(0, high - (position if position >= 0 else max(low, 0)))
        self._stats.lag = lag
        self._stats.in_trouble = self._writer.in_trouble
        troubled = self._guard.troubled
        self._stats.held = {topic: topic in troubled for topic in self._topics}
        self._stats.looked_s = time.time()

    def _report(self) -> None:
        self._look()
        log.info("%s", self._stats.line())


def _listed(places: Iterable[Place]) -> str:
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(places):
        by_topic.setdefault(topic, []).append(partition)
    return "; ".join(f"{topic} {', '.join(map(str, numbers))}" for topic, numbers in by_topic.items()) or "nothing"
