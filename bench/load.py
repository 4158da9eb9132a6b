"""The data, made once a run of the bench and read by every part that reads a topic from its beginning."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message, Producer

from ..config import Settings
from ..schemas.topics import EVENTS
from .errors import BenchError
from .fleet import FleetShape, Plan
from .messages import Writer

LIVE_PER_S = 150_000
"""Event times are spaced as if the fleet wrote so many events a second."""
CHUNK = 20_000


@dataclass(frozen=True)
class Loaded:
    """What stands in the topic."""

    settings: Settings
    topic: str
    events: int
    runs: int
    bytes_per_event: float
    looping: frozenset[str]
    """Ids of the runs that loop."""


def load(
    settings: Settings, shape: FleetShape, tell: Callable[[int, int], None] = lambda _done, _total: None
) -> Loaded:
    """Sends a fleet's events to the event topic; `tell` hears how many of how many are sent. Raises `BenchError`."""
    plan = Plan(shape)
    began_ms = int((time.time() - len(plan) / LIVE_PER_S) * 1000)
    writer = Writer(plan, began_ms, LIVE_PER_S)
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            # As a busy fleet's batches are when they reach the broker: full.
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
            "delivery.report.only.error": True,
            "log_level": 0,
        }
    )
    failed: list[str] = []

    def on_failure(error: KafkaError, _: Message) -> None:
        failed.append(error.str())

    topic, size = settings.topic(EVENTS.name), 0
    for first in range(0, len(plan), CHUNK):
        for key, value in writer.messages(first, min(first + CHUNK, len(plan))):
            size += len(value)
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=on_failure)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.poll(0)
        tell(min(first + CHUNK, len(plan)), len(plan))
    left = producer.flush(60)
    if left or failed:
        raise BenchError(f"The broker did not take {left + len(failed)} events: {failed[0] if failed else 'too slow'}")
    return Loaded(settings, topic, len(plan), plan.runs, size / len(plan), frozenset(writer.looping_runs))
