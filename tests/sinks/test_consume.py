"""The sink's consumer between the real Kafka and a writer that takes its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from runwatch.deadletters.guard import Guard
from runwatch.deadletters.limit import Limit
from runwatch.sinks import consume
from runwatch.sinks.batch import Batch, Limits, Place
from runwatch.sinks.stats import Stats

from ..fakes import NoWords

pytestmark = pytest.mark.stack
PARTITIONS, EACH = 4, 200
SOON_S = 60.0


class SlowWriter:
    """Stores nothing until it may; then remembers what it was given."""

    in_trouble = True

    def __init__(self) -> None:
        self.may = threading.Event()
        self.stored: set[tuple[int, int]] = set()

    def assigned(self, places: Any) -> None: ...

    def store(self, batch: Batch) -> dict[Place, int]:
        self.may.wait(SOON_S)
        ends = {}
        for (topic, partition), messages in batch.places.items():
            self.stored |= {(partition, message.offset()) for message in messages}
            ends[topic, partition] = messages[-1].offset() + 1
        return ends


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def running(loop: consume.Loop) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(SOON_S)


def test_partitions_that_were_paused_when_they_went_away_are_read_when_they_come_back(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stack.unique()
    topic = settings.topic("pausing")
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    for done in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        done.result(30)
    producer = Producer({"bootstrap.servers": settings.kafka})
    for number in range(PARTITIONS * EACH):
        producer.produce(topic, b"x", partition=number % PARTITIONS)
    assert producer.flush(30) == 0
    monkeypatch.setattr(consume, "PAUSE_AFTER_S", 0.1)
    monkeypatch.setattr(consume, "CHUNK", 10)  # not all at once
    writer: Any = SlowWriter()
    config = consume.consumer_config(settings.kafka, f"{settings.prefix}pausing")
    guard = Guard("sink", Limit(), NoWords())  # type: ignore[arg-type]
    loop = consume.Loop(config, [topic], writer, Stats(), Limits(records=10, linger_s=0.01), guard)

    with running(loop):
        until(lambda: loop._paused)
        other = Consumer(config)
        other.subscribe([topic])
        until(lambda: (other.poll(0.1), 0 < len(other.assignment()) < PARTITIONS)[1])
        until(lambda: (other.poll(0.1), len(loop._owned) < PARTITIONS)[1])
        writer.may.set()
        until(lambda: (other.poll(0.1), len(writer.stored) >= len(loop._owned) * EACH)[1])
        other.close()  # what it read it did not commit
        until(lambda: len(writer.stored) == PARTITIONS * EACH)

    assert writer.stored == {(partition, offset) for partition in range(PARTITIONS) for offset in range(EACH)}
