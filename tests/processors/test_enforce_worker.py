"""The policy through a real broker: a run that loops is told to stop, once, also by a worker that was killed in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from runwatch.config import Settings
from runwatch.control.follow import Follower
from runwatch.control.send import send
from runwatch.schemas import avro, wire
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.controls import Control
from runwatch.schemas.events import epoch_ms
from runwatch.schemas.ids import uuid7
from runwatch.schemas.registry import LocalRegistry

from .enforce_model import anomaly
from .support import event
from .test_worker import KILLED, lag, made, produce, read, wait_for, worker

pytestmark = pytest.mark.stack

ANOMALY = avro.load("anomaly")


def looping(run: str) -> list[dict[str, Any]]:
    """A run that makes the same call again and again."""
    begin = event(run, 0, "run_start")
    return [begin, *(event(run, seq, args_sha="same", result_sha="same") for seq in range(1, 20))]


def commands(its: Settings) -> list[dict[str, Any]]:
    return read(its, "control", "control")


def told(its: Settings, rule: str) -> list[dict[str, Any]]:
    return [one for one in read(its, "anomalies", "anomaly") if one["rule"] == rule]


def find(its: Settings, anomalies: list[Anomaly]) -> None:
    """Puts anomalies where the processors would."""
    producer = Producer({"bootstrap.servers": its.kafka})
    for one in anomalies:
        value = wire.encode(one.to_record(), ANOMALY, ANOMALY.schema_id)
        producer.produce(its.topic("anomalies"), value, one.agent)
    assert 0 == producer.flush(30)


def with_policy(env: dict[str, str], tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return env | {"RUNWATCH_CONFIG": str(path)}


@contextmanager
def following(its: Settings) -> Iterator[Follower]:
    follower = Follower({"bootstrap.servers": its.kafka}, its.topic("control"), LocalRegistry)
    follower.start()
    try:
        wait_for("what stands in the topic", lambda: follower.wait_loaded(5.0))
        yield follower
    finally:
        follower.close()


def now_ms() -> int:
    return int(time.time() * 1000)


def test_a_run_that_loops_is_told_to_stop(stack: Any, tmp_path: Path) -> None:
    its, env, log = made(stack, tmp_path)
    with worker(env, log), following(its) as follower:
        produce(its, [*looping("bad"), *(event("good", seq) for seq in range(20))])
        wait_for("a command", lambda: follower.state.commands(now_ms()))
        (command,) = follower.state.commands(now_ms())
        (found,) = [one for one in told(its, "loop.repeat") if one["severity"] == "critical"]
        # What drifts only notifies, and is none of the worker's business.
        find(its, [anomaly("drift.spend_per_run")])
        wait_for("all anomalies", lambda: 0 == lag(its, "anomalies"))
    assert ("run:bad", "stop", "policy:loop.repeat") == (command.scope, command.mode, command.by)
    assert (found["anomaly_id"], found["message"]) == (command.anomaly_id, command.why)
    assert command.expires_ms == command.ts_ms + 3_600_000
    assert 1 == len(commands(its))


def test_a_killed_worker_commands_nothing_twice_and_forgets_nothing(stack: Any, tmp_path: Path) -> None:
    its, env, log = made(stack, tmp_path)
    env = with_policy(
        env, tmp_path, "policy:\n  rules:\n    - {rule: loop.*, action: stop_run, most_runs_an_hour: 30}\n"
    )
    with worker(env, log) as process:
        find(its, [anomaly(run=f"r{at}") for at in range(20)])
        wait_for("some commands", lambda: commands(its))
        process.kill()
        assert KILLED == process.wait(10)
    # A person allows a run again, while nobody is there to tell it to stop.
    wait = Control(uuid7(now_ms()), "run:r0", "allow", now_ms(), "it is mine", "somebody")
    send({"bootstrap.servers": its.kafka}, its.topic("control"), LocalRegistry(), wait)
    find(its, [anomaly("loop.retries", run=f"r{at}") for at in range(40)])
    with worker(env, log):
        wait_for("all anomalies", lambda: 0 == lag(its, "anomalies"))
    found = commands(its)
    assert len(found) == len({one["control_id"] for one in found})
    stopped = [one["scope"] for one in found if one["mode"] == "stop"]
    assert [f"run:r{at}" for at in range(30)] == [one for one in stopped if one.startswith("run:")]
    assert [f"dry:run:r{at}" for at in range(30, 40)] == [one for one in stopped if one.startswith("dry:")]
    # Each has the time at which the broker appended what caused it, whatever came in the same frame.
    appended = log_times(its)
    assert {one["anomaly_id"]: epoch_ms(one["ts_ms"]) for one in found if one["anomaly_id"]}.items() <= appended.items()
    (capped,) = told(its, "policy.capped")
    assert (30.0, "*") == (capped["baseline"], capped["agent"])


def test_a_persons_word_is_not_overruled_by_what_is_read_again(stack: Any, tmp_path: Path) -> None:
    its, env, log = made(stack, tmp_path)
    find(its, [anomaly(run="r"), anomaly(run="s")])
    time.sleep(0.05)
    allow = Control(uuid7(now_ms()), "run:r", "allow", now_ms(), "let it be", "somebody")
    send({"bootstrap.servers": its.kafka}, its.topic("control"), LocalRegistry(), allow)
    with worker(env, log):
        wait_for("all anomalies", lambda: 0 == lag(its, "anomalies"))
    assert [("run:r", "allow"), ("run:s", "stop")] == [(one["scope"], one["mode"]) for one in commands(its)]


def test_a_dry_run_binds_nobody(stack: Any, tmp_path: Path) -> None:
    its, env, log = made(stack, tmp_path)
    with worker(with_policy(env, tmp_path, "policy:\n  dry_run: true\n"), log):
        find(its, [anomaly(run="r")])
        wait_for("a command", lambda: commands(its))
    assert ["dry:run:r"] == [one["scope"] for one in commands(its)]


def test_what_is_long_over_is_cleared_away(stack: Any, tmp_path: Path) -> None:
    its, env, log = made(stack, tmp_path)
    ended = now_ms() - 3_600_000
    for scope, by in (("run:old", "policy:loop.repeat"), ("run:asked", "somebody")):
        one = Control(uuid7(ended), scope, "stop", ended, "why", by, ended + 60_000)
        send({"bootstrap.servers": its.kafka}, its.topic("control"), LocalRegistry(), one)
    with worker(env, log):
        find(its, [anomaly("drift.outcome")])
        wait_for("a tombstone", lambda: [b"run:old"] == tombstones(its))


def log_times(its: Settings) -> dict[str, int]:
    """Anomaly → when it was appended."""
    return {
        wire.decode_body(wire.split(one.value())[1], ANOMALY)["anomaly_id"]: one.timestamp()[1]
        for one in messages(its, "anomalies")
    }


def tombstones(its: Settings) -> list[bytes]:
    """Scopes that were cleared away."""
    return [one.key() for one in messages(its, "control") if one.value() is None]


def messages(its: Settings, topic: str) -> list[Any]:
    """Every message that is in the topic's one partition now."""
    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": "messages", "enable.auto.commit": False})
    try:
        place = TopicPartition(its.topic(topic), 0, 0)
        end = consumer.get_watermark_offsets(place, timeout=10)[1]
        consumer.assign([place])
        return list(consumer.consume(end, timeout=10))
    finally:
        consumer.close()
