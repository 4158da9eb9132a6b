"""A worker on the real broker that meets a topic of which nothing can be read."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from runwatch.config import Settings
from runwatch.deadletters.words import Words
from runwatch.schemas import topics
from runwatch.schemas.holds import Hold
from runwatch.schemas.registry import LocalRegistry

pytestmark = pytest.mark.stack
SOON_S = 60.0


@contextmanager
def worker(stack: Any, settings: Settings, config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = stack.environ(settings) | {"RUNWATCH_CONFIG": str(config), "RUNWATCH_METRICS_PORT": "0"}
    with log.open("ab") as file:
        process = subprocess.Popen([sys.executable, "-m", "runwatch", "process"], env=environ, stderr=file, stdout=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(truth: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + SOON_S
    while not truth():
        assert time.monotonic() < end, log.read_text(errors="replace")[-3000:]
        time.sleep(0.2)


def committed(settings: Settings, topic: str) -> int:
    group = {"bootstrap.servers": settings.kafka, "group.id": f"{settings.prefix}runwatch-processors"}
    consumer = Consumer(group)
    try:
        return int(consumer.committed([TopicPartition(settings.topic(topic), 0)], timeout=10)[0].offset)
    finally:
        consumer.close()


def produce(settings: Settings, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka})
    for _ in range(count):
        producer.produce(settings.topic(topic), b"junk!", b"k", partition=0)
    assert producer.flush(30) == 0


def test_it_waits_with_the_topic_and_goes_on_with_the_others(stack: Any, tmp_path: Path) -> None:
    settings = stack.unique()
    topics.ensure_topics(settings.kafka, settings.prefix, partitions=1)
    config, log = tmp_path / "own.yaml", tmp_path / "log"
    config.write_text("dead_letters: {in_a_row: 50}")
    words = Words(settings, LocalRegistry())

    def said() -> dict[str, str]:
        return {key: word.hold.state for key, word in words.read().items()}

    key = f"processors {settings.topic('events')}"
    produce(settings, "events", 60)
    with worker(stack, settings, config, log) as process:
        until(lambda: said() == {key: "held"}, log)
        produce(settings, "anomalies", 3)
        until(lambda: committed(settings, "anomalies") == 3, log)
        assert committed(settings, "events") < 0
        process.send_signal(signal.SIGTERM)
        assert 1 == process.wait(SOON_S), log.read_text(errors="replace")[-3000:]
        assert "was not read on" in log.read_text(errors="replace")
    with worker(stack, settings, config, log) as process:
        until(lambda: log.read_text(errors="replace").count("is not read on: ") == 2, log)
        words.say(Hold("processors", settings.topic("events"), "drained", 0, "garbage", "mia"))
        until(lambda: committed(settings, "events") == 60, log)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(SOON_S), log.read_text(errors="replace")[-3000:]
