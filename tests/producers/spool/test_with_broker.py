"""The spool with a real broker that hangs and goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import Counter

import pytest
from confluent_kafka import KafkaException

from runwatch.control.guardrails import NO_BUDGETS
from runwatch.control.spool import Spool
from runwatch.producers.connection import connect
from runwatch.schemas.topics import ensure_topics

from ..test_on_kafka import read_all

pytestmark = pytest.mark.stack
RUNS = 20
ROUNDS = 200


@pytest.fixture
def topics(stack):
    settings = stack.unique()
    ensure_topics(settings.kafka, settings.prefix)
    return settings


@contextlib.contextmanager
def stopped(stack):
    """The broker hangs."""
    state = json.loads((stack.home / "state.json").read_text())
    broker = next(service["pid"] for service in state["services"] if service["name"] == "kafka")
    os.kill(broker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker, signal.SIGCONT)


def rounds(runs, start, count):
    for number in range(start, start + count):
        for run in runs:
            run.call_tool("t", [number], int)
        time.sleep(0.001)


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def read_stored(settings):
    """As `read_all`, of a broker that was away for so long that it may have no leaders yet."""
    found = []

    def is_read():
        with contextlib.suppress(KafkaException):
            found.extend(event for _, event in read_all(settings))
        return found

    wait_for(is_read, 60.0)
    return found


@pytest.mark.parametrize("mode", ["overflow", "always"])
def test_a_broker_that_hangs_gets_each_event_once_and_in_order(stack, topics, tmp_path, mode):
    watch = connect("a", kafka=topics.kafka, prefix=topics.prefix, spool=Spool(tmp_path, mode=mode))
    runs = [watch.run(f"run-{number}", budgets=NO_BUDGETS) for number in range(RUNS)]
    assert watch.flush(10.0)
    wait_for(lambda: watch.stats()["queued"] == 0)
    with stopped(stack):
        rounds(runs, 0, ROUNDS)
        wait_for(lambda: watch.spool_stats()["written"] > RUNS * ROUNDS - 1)
        assert RUNS * ROUNDS == watch.stats()["queued"]
    rounds(runs, ROUNDS, 50)
    for run in runs:
        run.stop()
    assert watch.close(30.0)
    seqs: dict[str, list[int]] = {}
    for event in read_stored(topics):
        seqs.setdefault(event.run_id, []).append(event.seq)
    assert [list(range(ROUNDS + 52))] * RUNS == [seqs[f"run-{number}"] for number in range(RUNS)]
    assert [] == list((tmp_path / f"{topics.prefix}agent.events").iterdir())


def test_what_an_agent_left_when_it_ended_is_sent_by_the_next(stack, topics, tmp_path):
    with stopped(stack):
        watch = connect("a", kafka=topics.kafka, prefix=topics.prefix, spool=tmp_path)
        runs = [watch.run(f"run-{number}", budgets=NO_BUDGETS) for number in range(RUNS)]
        rounds(runs, 0, 50)
        assert not watch.close(0.5)
        assert RUNS * 52 == watch.stats()["queued"]
    with connect("b", kafka=topics.kafka, prefix=topics.prefix, spool=tmp_path) as later:
        later.run("later").stop()
        wait_for(lambda: later.flush(1.0) and later.spool_stats()["adopted"] == 0 and later.stats()["delivered"] == 2)
        wait_for(lambda: len(list((tmp_path / f"{topics.prefix}agent.events").iterdir())) == 1)
    stored = [event for event in read_stored(topics) if event.run_id != "later"]
    once = {event.event_id: event for event in stored}
    assert RUNS * 52 == len(once)
    assert {52} == set(Counter(event.run_id for event in once.values()).values())
    assert [] == list((tmp_path / f"{topics.prefix}agent.events").iterdir())
