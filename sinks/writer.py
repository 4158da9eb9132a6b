"""Stores one batch: sorts it, inserts it, sends what is bad to the dead letters, and does not give up.

Runs in the sink's worker threads, a batch in each.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from confluent_kafka import KafkaException

from ..clickhouse import StoreError
from ..deadletters.guard import Guard
from ..deadletters.words import WordsError
from ..schemas.registry import Registry, RegistryError
from . import deadletter
from .batch import Bad, Batch, Block, Cutter, Message, Place
from .deadletter import Undelivered
from .insert import Landing, Outcome, insert_block
from .lead import lead_bodies, lead_bytes
from .resume import Memory, Stretches
from .routes import Route
from .stats import Stats
from .trouble import Trouble

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0


class Stopped(Exception):
    """The sink is stopping, and the batch is not stored: whoever comes next reads it again."""


class Boundary(Protocol):
    """What a batch needs of the world outside, from any of the worker threads.

    Each may raise `StoreError`, `Undelivered` or `KafkaException`.
    """

    def landing(self) -> Landing:
        """Where to insert; connected."""

    def disconnect(self) -> None:
        """Forget the calling thread's connection, which failed."""

    def source(self, topic: str) -> int:
        """See `resume.source_of`."""

    def stored(self, route: Route, source: int, partition: int, first: int) -> Stretches:
        """See `resume.stored`."""

    def send_dead(self, letters: list[Bad]) -> None:
        """See `deadletter.DeadLetters.send`."""


class Writer:
    """Stores batches, each in the calling thread."""

    def __init__(
        self,
        boundary: Boundary,
        routes: dict[str, Route],
        registry: Registry,
        stats: Stats,
        closing: threading.Event,
        guard: Guard,
    ) -> None:
        self._guard = guard
        self._boundary = boundary
        self._routes = routes
        self._registry = registry
        self._stats = stats
        self._closing = closing
        self._memory = Memory()
        self._sources: dict[str, int] = {}
        self._spoilt: set[str] = set()
        """Topics whose last block had messages that cannot be stored."""
        self._trouble = Trouble(log, "storing", time.monotonic)
        self._counting = threading.Lock()
        self._waiting = 0
        """Threads that wait for something that is away. What one of them gets done is no sign that all is back."""

    @property
    def in_trouble(self) -> bool:
        """True while a batch waits for something that is away."""
        return self._trouble.on

    def assigned(self, places: Iterable[Place]) -> None:
        """Partitions came to us: what is stored of them is to be asked anew. Safe from any thread."""
        places = list(places)
        self._memory.forget(places)
        for topic, _ in places:
            # The topic may be another one of the same name.
            self._sources.pop(topic, None)

    def store(self, batch: Batch) -> dict[Place, int]:
        """Stores everything in the batch and returns the offsets to commit. Raises `Stopped`.

        Nothing is to be committed of topics that are held: what is stored of them is passed over when they are read
        again.
        """
        began = time.monotonic()
        by_topic: defaultdict[str, list[tuple[int, list[Message]]]] = defaultdict(list)
        for (topic, partition), messages in batch.places.items():
            by_topic[topic].append((partition, messages))
        done = {topic for topic, parts in by_topic.items() if self._store_topic(self._routes[topic], parts)}
        with self._counting:
            self._stats.batches += 1
            self._stats.insert_seconds += time.monotonic() - began
        return {place: end for place, end in batch.ends().items() if place[0] in done}

    def _store_topic(self, route: Route, parts: list[tuple[int, list[Message]]]) -> bool:
        """Stores one topic's messages; False where too many of them cannot be, and the topic is held."""
        if self._guard.is_held(route.topic):
            return False
        fresh = [(partition, self._fresh(route, partition, messages)) for partition, messages in parts]
        skipped = sum(len(messages) for _, messages in parts) - sum(len(left) for _, left in fresh)
        blocks, bad = self._cut(route, [(partition, left) for partition, left in fresh if left])
        for block in blocks:
            began = time.monotonic()
            outcome = self._persist(lambda block=block: self._insert(route, block))  # type: ignore[misc]
            bad += outcome.bad
            with self._counting:
                self._stats.inserted(route.topic, outcome.stored, time.monotonic() - began)
        if not route.letters and self._is_too_much(route.topic, parts, bad):
            return False
        if bad:
            self._bury(route, bad)
        with self._counting:
            self._stats.skipped += skipped
            for letter in bad:
                self._stats.dead_letters[letter.reason] += 1
        return True

    def _is_too_much(self, topic: str, parts: list[tuple[int, list[Message]]], bad: list[Bad]) -> bool:
        """Whether these were too many to become dead letters; then the topic is held."""
        guard = self._guard
        if bad and guard.unsure:
            self._persist(guard.look)
        why = guard.judge(topic, *judged(parts, bad, guard.drained_ms(topic)))
        if why is not None and not guard.is_held(topic):
            (reason, _), *_ = Counter(letter.reason for letter in bad).most_common(1)
            example = next(letter for letter in bad if letter.reason == reason)
            guard.hold(topic, f"{why} cannot be stored ({reason}: {example.detail[:200]})")
        if guard.has_to_tell:
            guard.tell()
        # Or else a batch before this one was too much, meanwhile.
        return why is not None or guard.is_held(topic)

    def _fresh(self, route: Route, partition: int, messages: list[Message]) -> list[Message]:
        """The messages that are not stored yet; asks once after each assignment."""
        place = (route.topic, partition)
        if not self._memory.knows(place):
            first = messages[0].offset()
            source = self._source(route.topic)
            self._memory.learn(place, self._persist(lambda: self._boundary.stored(route, source, partition, first)))
        return self._memory.fresh(place, messages)

    def _source(self, topic: str) -> int:
        if topic not in self._sources:
            self._sources[topic] = self._persist(lambda: self._boundary.source(topic))
        return self._sources[topic]

    def _cut(self, route: Route, parts: list[tuple[int, list[Message]]]) -> tuple[list[Block], list[Bad]]:
        source = self._source(route.topic)
        if route.letters:
            block = Block(deadletter.SCHEMA)
            for partition, messages in parts:
                offsets = [message.offset() for message in messages]
                bodies = [deadletter.body(message) for message in messages]
                block.bodies += lead_bodies(lead_bytes(source, partition), offsets, bodies, 0)
                block.messages += messages
            return ([block] if block.bodies else []), []

        def cut() -> Cutter:
            # From the start on each try: a registry that is away raises in the middle.
            cutter = Cutter(self._registry.schema_of, route.record, tombstones=route.tombstones, check=route.check)
            for partition, messages in parts:
                cutter.add(lead_bytes(source, partition), messages)
            return cutter

        cutter = self._persist(cut)
        return [block for block in cutter.blocks.values() if block.bodies], cutter.bad

    def _insert(self, route: Route, block: Block) -> Outcome:
        outcome = insert_block(self._boundary.landing(), route, block, sift_first=route.topic in self._spoilt)
        (self._spoilt.add if outcome.bad else self._spoilt.discard)(route.topic)
        return outcome

    def _bury(self, route: Route, bad: list[Bad]) -> None:
        first = bad[0]
        log.warning(
            "%d messages of %s cannot be stored and go to the dead letters; the first, partition %d offset %d: %s",
            len(bad),
            route.topic,
            first.message.partition(),
            first.message.offset(),
            first.detail,
        )
        if not route.letters:  # A dead letter that is refused would come back for ever.
            self._persist(lambda: self._boundary.send_dead(bad))

    def _persist(self, act: Callable[[], T]) -> T:
        """Does it, again and again with growing pauses while something is away. Raises `Stopped`."""
        pause = FIRST_PAUSE_S
        waits = False
        while True:
            try:
                done = act()
            except (StoreError, Undelivered, RegistryError, WordsError) as error:
                what = f"{error}; trying on"
                self._boundary.disconnect()
            except KafkaException as error:
                what = f"Kafka does not answer ({error.args[0].str()}); trying on"
            else:
                with self._counting:
                    self._waiting -= waits
                    if waits and not self._waiting:
                        self._trouble.end()
                return done
            with self._counting:
                self._waiting += not waits
                self._trouble.begin(what)
            waits = True
            if self._closing.wait(pause):
                raise Stopped
            pause = min(2 * pause, LONGEST_PAUSE_S)


def judged(parts: list[tuple[int, list[Message]]], bad: list[Bad], drained_ms: int) -> tuple[int, list[int]]:
    """How many messages the limit is to judge, and which of them are bad, by their places; partition by partition.

    Left out is what the broker had by `drained_ms`. Stored ones count as well: read again, a batch is judged as before.
    """
    by_partition: defaultdict[int, list[int]] = defaultdict(list)
    for letter in bad:
        by_partition[letter.message.partition()].append(letter.message.offset())
    count = 0
    places: list[int] = []
    for partition, messages in parts:
        passed = bisect_right(messages, drained_ms, key=_log_ms) if drained_ms else 0
        for offset in sorted(by_partition[partition]):
            at = bisect_left(messages, offset, key=_offset)
            if at >= passed:
                places.append(count + at - passed)
        count += len(messages) - passed
    return count, places


def _offset(message: Message) -> int:
    return message.offset()


def _log_ms(message: Message) -> int:
    return message.timestamp()[1]
