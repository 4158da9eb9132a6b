"""The worker on a real broker: what it says, that it says it again after it was killed, and what it commits."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from runwatch.config import Settings
from runwatch.processors.windows import SUMS
from runwatch.schemas import avro, wire
from runwatch.schemas.events import epoch_ms
from runwatch.schemas.topics import ensure_topics

from .support import T0, event, message

pytestmark = pytest.mark.stack

RUNS = 60
PATIENCE_S = 90.0
KILLED = -signal.SIGKILL


def fleet_events() -> list[dict[str, Any]]:
    """Runs of a few agents, side by side; every fifth repeats itself, every seventh fails again and again."""
    runs = []
    for number in range(RUNS):
        run, base = f"run-{number}", {"agent": f"agent-{number % 3}", "agent_version": "1"}
        one = [event(run, 0, "run_start", **base)]
        for seq in range(1, 20):
            given: dict[str, Any] = {"args_sha": "same", "result_sha": "same"} if number % 5 == 0 else {}
            if number % 7 == 0:
                given = {"args_sha": "same", "status": "error", "error": "Timeout"}
            one.append(event(run, seq, **base, **given))
        one.append(event(run, 20, "stop", cost_usd=0.25, tool_calls=19, duration_ms=20_000, **base))
        runs.append(one)
    return [one for step in zip(*runs, strict=True) for one in step]


LOOPS = sum(number % 5 == 0 or number % 7 == 0 for number in range(RUNS))


def produce(its: Settings, events: list[dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": its.kafka, "partitioner": "murmur2_random", "linger.ms": 5})
    for at, one in enumerate(events):
        producer.produce(its.topic("events"), message(one), one["run_id"])
        if at % 100 == 0:
            producer.produce(its.topic("events"), b"no event", one["run_id"])
    assert 0 == producer.flush(30)


@contextmanager
def worker(env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwatch", "process"], env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        yield process
        if process.returncode != KILLED:
            assert process.poll() is None, log.read_text()
            process.terminate()
            assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def read(its: Settings, topic: str, schema: str) -> list[dict[str, Any]]:
    """Every record that is in the topic now."""
    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": "reader", "enable.auto.commit": False})
    try:
        name = its.topic(topic)
        ends = {
            at: consumer.get_watermark_offsets(TopicPartition(name, at), timeout=10)[1] for at in partitions(its, topic)
        }
        left = sum(ends.values())
        consumer.assign([TopicPartition(name, at, 0) for at in ends])
        records = []
        while left:
            found = consumer.consume(left, timeout=10)
            assert found, f"{left} messages of {name} did not come"
            left -= len(found)
            for one in found:
                assert one.error() is None, one.error()
                records.append(wire.decode_body(wire.split(one.value())[1], avro.load(schema)))
        return records
    finally:
        consumer.close()


def loops(its: Settings) -> list[dict[str, Any]]:
    """What was said of single runs."""
    return [one for one in read(its, "anomalies", "anomaly") if one["rule"].startswith("loop.")]


def said(anomalies: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(one["anomaly_id"], one["state"], one["severity"]) for one in anomalies}


def partitions(its: Settings, topic: str) -> range:
    return range(1 if topic in ("anomalies", "fleet", "control") else its.partitions)


def lag(its: Settings, topic: str) -> int:
    """Messages of the topic that the worker's group has not committed."""
    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": f"{its.prefix}runwatch-processors"})
    try:
        places = [TopicPartition(its.topic(topic), at) for at in partitions(its, topic)]
        try:
            committed = {one.partition: max(0, one.offset) for one in consumer.committed(places, timeout=10)}
        except KafkaException as error:
            # A broker that has just started may still be electing who keeps the group's offsets.
            if error.args[0].code() not in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS):
                raise
            committed = {}
        return sum(
            consumer.get_watermark_offsets(one, timeout=10)[1] - committed.get(one.partition, 0) for one in places
        )
    finally:
        consumer.close()


NOT_YET = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TIMED_OUT,
}
"""What a busy broker says of a topic that was only just made."""


def wait_for(what: str, is_there: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            if is_there():
                return
        except KafkaException as error:
            if error.args[0].code() not in NOT_YET:
                raise
        assert time.monotonic() < until, f"{what}: not within {PATIENCE_S:.0f} s"
        time.sleep(0.3)


def tallied(its: Settings) -> dict[tuple[Any, ...], dict[str, float]]:
    """What the latest parts say of each agent's windows, all partitions and stretches added."""
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for part in read(its, "windows", "window_part"):
        key = tuple(part[name] for name in ("agent", "window_start_ms", "tool", "source_partition", "slot_ms"))
        if key not in latest or latest[key]["version"] <= part["version"]:
            latest[key] = part
    totals: dict[tuple[Any, ...], dict[str, float]] = defaultdict(lambda: dict.fromkeys(SUMS, 0))
    for (agent, start, tool, *_), part in latest.items():
        if tool is None:
            for name in SUMS:
                totals[agent, epoch_ms(start), None][name] += part[name]
    return dict(totals)


def is_done(its: Settings, events: int) -> bool:
    return lag(its, "events") == 0 == lag(its, "windows") and events == sum(
        one["events"] for one in tallied(its).values()
    )


def made(stack: Any, tmp_path: Path) -> tuple[Settings, dict[str, str], Path]:
    its = stack.unique()
    ensure_topics(its.kafka, its.prefix, partitions=its.partitions)
    return its, stack.environ(its), tmp_path / f"{its.prefix}worker.log"


def test_a_killed_worker_leaves_no_trace_in_what_was_said(stack: Any, tmp_path: Path) -> None:
    events = fleet_events()
    clean, env, log = made(stack, tmp_path)
    produce(clean, events)
    with worker(env, log):
        wait_for("a clean run", lambda: is_done(clean, len(events)))
    anomalies = loops(clean)
    assert LOOPS == sum(one["severity"] == "critical" for one in anomalies)
    assert {1} == set(Counter((one["anomaly_id"], one["state"]) for one in anomalies).values())
    assert {"loop.repeat", "loop.failing"} == {one["rule"] for one in anomalies}
    assert all(one["detected_ms"] for one in anomalies)
    expected = tallied(clean)
    assert {T0 // 60_000 * 60_000} == {start for _, start, _ in expected}

    its, env, log = made(stack, tmp_path)
    half = len(events) // 2
    with worker(env, log) as process:
        produce(its, events[:half])
        wait_for("a first anomaly", lambda: read(its, "anomalies", "anomaly"))
        process.kill()
        assert KILLED == process.wait(10)
    produce(its, events[half:])
    with worker(env, log):
        wait_for("a second life", lambda: is_done(its, len(events)))
    assert said(anomalies) == said(loops(its))
    assert expected == tallied(its)


def test_a_worker_that_was_taken_for_dead_goes_on_and_what_was_said_is_the_same(stack: Any, tmp_path: Path) -> None:
    events = fleet_events()
    its, env, log = made(stack, tmp_path)
    third = len(events) // 3
    with worker(env, log) as first:
        produce(its, events[:third])
        wait_for("a first anomaly", lambda: loops(its))
        first.send_signal(signal.SIGSTOP)
        try:
            produce(its, events[third : 2 * third])
            with worker(env, log):
                # The broker gives the second what the first has had, once it misses its heartbeats.
                wait_for("the second", lambda: lag(its, "events") == 0)
                first.send_signal(signal.SIGCONT)
                produce(its, events[2 * third :])
                wait_for("both", lambda: is_done(its, len(events)))
        finally:
            first.send_signal(signal.SIGCONT)
    anomalies = loops(its)
    assert LOOPS == len({one["run_id"] for one in anomalies if one["severity"] == "critical"})
    # Who was taken for dead may say again what the other has said: of the same id, and not otherwise.
    assert {1} == set(Counter((one["run_id"], one["rule"], one["state"]) for one in _once(anomalies)).values())


def _once(anomalies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the views show them: one of each id and state."""
    return list({(one["anomaly_id"], one["state"]): one for one in anomalies}.values())
