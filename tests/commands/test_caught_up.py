"""Waiting for the processors: by what their group has committed, on the real broker."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from runwatch.commands.caught_up import wait_read
from runwatch.schemas.topics import ensure_topics

pytestmark = pytest.mark.stack


def test_it_waits_for_the_last_event(stack: Any) -> None:
    its = stack.unique()
    ensure_topics(its.kafka, its.prefix, partitions=2)
    topic = its.topic("events")
    assert wait_read(its, 20.0), "there is nothing to be read"

    producer = Producer({"bootstrap.servers": its.kafka})
    for at in range(5):
        producer.produce(topic, key=str(at), value=b"one", partition=1)
    assert 0 == producer.flush(20)
    began = time.monotonic()
    assert not wait_read(its, 1.0)
    assert 0.9 <= time.monotonic() - began < 5.0

    group = Consumer({"bootstrap.servers": its.kafka, "group.id": f"{its.prefix}runwatch-processors"})
    try:
        group.commit(offsets=[TopicPartition(topic, 1, 4)], asynchronous=False)
        assert not wait_read(its, 1.0)
        group.commit(offsets=[TopicPartition(topic, 1, 5)], asynchronous=False)
    finally:
        group.close()
    assert wait_read(its, 20.0)


def test_a_broker_that_is_away_is_not_waited_for_without_end(stack: Any) -> None:
    began = time.monotonic()
    assert not wait_read(stack.unique(kafka="127.0.0.1:1"), 1.0)
    assert time.monotonic() - began < 15.0
