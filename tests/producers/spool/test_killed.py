"""Agents that are killed while they write: what they knew to be on disk is sent by another process, once, in order."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from runwatch.producers.connection import connect

AGENT = """
import os, sys, time
import runwatch
from runwatch.control.guardrails import NO_BUDGETS

folder, run_id, fsync, pause = sys.argv[1:]
spool = runwatch.Spool(folder, mode="always", fsync=fsync, fsync_every_ms=20)
watch = runwatch.connect("a", kafka=os.environ["AT"], prefix=os.environ.get("PREFIX", ""), spool=spool)
run = watch.run(run_id, budgets=NO_BUDGETS)
mark = "saved" if fsync == "never" else "synced"
while True:
    for _ in range(50):
        run.call_tool("t", {}, dict)
    print(watch.spool_stats()[mark], watch.stats()["dropped"], flush=True)
    time.sleep(float(pause))
"""


def start(folder, run_id, fsync, at="127.0.0.1:1", prefix="", pause=0.002):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(AGENT), str(folder), run_id, fsync, str(pause)],
        stdout=subprocess.PIPE, env={**kept, "AT": at, "PREFIX": prefix, "RUNWATCH_HOME": str(folder)},
    )  # fmt: skip


def kill(agent):
    """Kills it, and returns how many of its events it knew to be safe."""
    os.kill(agent.pid, signal.SIGKILL)
    out, _ = agent.communicate(timeout=10)
    lines = [line.split() for line in out.decode().splitlines(keepends=True) if line.endswith("\n")]
    assert {"0"} == {dropped for _, dropped in lines}, "the test asks for more than the disk takes"
    return int(lines[-1][0])


def first_lines(agent):
    agent.stdout.readline()


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("fsync", ["never", "every", "each"])
def test_what_was_on_disk_outlives_the_agent(tmp_path, new_sink, fsync):
    rng = random.Random(fsync)
    agents = [start(tmp_path, f"run-{number}", fsync) for number in range(3)]
    safe = []
    for agent in agents:
        first_lines(agent)
    for agent in agents:
        time.sleep(rng.uniform(0.1, 0.4))
        safe.append(kill(agent))
    assert min(safe) > 0
    sink = new_sink()
    with connect("b", transport=sink, spool=tmp_path) as watch:
        watch.run("later").stop()
        wait_for(lambda: len(list((tmp_path / "agent.events").iterdir())) == 1)
    assert [] == list((tmp_path / "agent.events").iterdir())
    for number, count in enumerate(safe):
        seqs = [event.seq for event in sink.events if event.run_id == f"run-{number}"]
        assert list(range(len(seqs))) == seqs, "in order, once, and nothing missing"
        assert count <= len(seqs)
    assert not any(event.stop_reason == "events_dropped" for event in sink.events)


@pytest.mark.stack
def test_agents_killed_while_a_broker_answers_lose_nothing_that_was_on_disk(stack, tmp_path):
    from runwatch.schemas.topics import ensure_topics

    from ..test_on_kafka import read_all

    settings = stack.unique()
    ensure_topics(settings.kafka, settings.prefix)
    safe = []
    for number in range(3):
        # Each takes over from the one before.
        agent = start(tmp_path, f"run-{number}", "each", settings.kafka, settings.prefix, pause=0.001)
        first_lines(agent)
        time.sleep(random.uniform(0.3, 1.2))
        safe.append(kill(agent))
    with connect("b", kafka=settings.kafka, prefix=settings.prefix, spool=tmp_path) as watch:
        watch.run("later").stop()
        wait_for(lambda: watch.spool_stats()["adopted"] == 0 and watch.flush(1.0))
        wait_for(lambda: len(list((tmp_path / f"{settings.prefix}agent.events").iterdir())) == 1)
    stored = [event for _, event in read_all(settings)]
    for number, count in enumerate(safe):
        of_run = [event for event in stored if event.run_id == f"run-{number}"]
        once = {event.event_id: event.seq for event in of_run}
        assert list(range(len(once))) == list(once.values()), "in order; what comes again is known by its id"
        assert count <= len(once)
