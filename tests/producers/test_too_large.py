"""A topic that takes less than a batch: what is too large itself fails, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from runwatch.producers.transport import KafkaTransport

pytestmark = pytest.mark.stack
MOST = 50_000


def test_good_messages_do_not_share_the_fate_of_one_that_is_too_large(stack: Any) -> None:
    its = stack.unique()
    topic = its.topic("events")
    admin = AdminClient({"bootstrap.servers": its.kafka})
    admin.create_topics([NewTopic(topic, 1, 1, config={"max.message.bytes": str(MOST)})])[topic].result(20)
    told: list[str] = []
    transport = KafkaTransport(
        its.kafka,
        topic,
        queue_size=5_000,
        tell=lambda kind, message, *values: told.append(f"{kind}: {message % values}"),
        # All in one batch, as after a pause.
        extra={"linger.ms": 200, "compression.type": "none"},
    )
    good = [(b"k", str(at).encode() * 40) for at in range(1_000)]
    assert 1_001 == transport.send([*good[:500], (b"k", b"x" * (MOST + 1)), *good[500:]])
    deadline = time.monotonic() + 60
    while transport.flush(0.5):
        assert time.monotonic() < deadline
    assert (1_000, 1, 0) == transport.counts()
    assert [f"failed: topic {topic} did not take an event: Broker: Message size too large"] == told

    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": "reader", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[bytes] = []
        while len(found) < len(good) and time.monotonic() < deadline:
            found += [one.value() or b"" for one in consumer.consume(1_000, 1.0)]
        # Whole, once, and in their order.
        assert [value for _, value in good] == found
    finally:
        consumer.close()
