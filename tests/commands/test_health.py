"""The health topic of a real broker."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Producer

from runwatch.commands.health import read_health
from runwatch.config import Settings
from runwatch.schemas.avro import load
from runwatch.schemas.health import SILENT_MS, Health, this_worker
from runwatch.schemas.topics import ensure_topics
from runwatch.schemas.wire import encode

SCHEMA = load("health")


@pytest.mark.stack
def test_the_last_word_of_each_worker_that_is_there(stack: Any) -> None:
    its = stack.unique()
    settings = Settings(kafka=stack.kafka, prefix=its.prefix)
    assert [] == read_health(settings, timeout_s=1.0)
    ensure_topics(stack.kafka, its.prefix)
    now_ms = int(time.time() * 1000)
    words = [
        Health("b", "processors", now_ms - 5_000, 1, {"events": 1}),
        Health("b", "processors", now_ms, 1, {"events": 9, "late": 2}),
        Health("gone", "processors", now_ms - SILENT_MS - 1, 1, {"events": 5}),
        Health("a", "processors", now_ms - 1_000, 1, {}),
    ]
    producer = Producer({"bootstrap.servers": stack.kafka})
    topic = settings.topic("health")
    for one in words:
        producer.produce(topic, encode(one.to_record(), SCHEMA, SCHEMA.schema_id), one.worker)
    producer.produce(topic, b"of another kind", "c")
    assert 0 == producer.flush(10)
    assert [words[3], words[1]] == read_health(settings)


def test_a_broker_that_is_away_has_nobody() -> None:
    assert [] == read_health(Settings(kafka="127.0.0.1:1"), timeout_s=0.5)


def test_a_worker_is_a_process() -> None:
    assert this_worker() == this_worker()
    assert ":" in this_worker()
