"""A broker of the test's own goes away while agents work: no call waits for it, and none is refused for it.

How long calls take is compared, in the same seconds, with those of a process that has nothing to do with any broker:
on a busy machine both have calls that the machine delays.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

import runwatch
from runwatch.control.guardrails import Guardrails, KillSwitch, ToolPolicy, Writes
from runwatch.control.send import send
from runwatch.schemas import avro, wire
from runwatch.schemas.controls import Control
from runwatch.schemas.ids import uuid7
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.topics import ensure_topics
from runwatch.stack import kafka
from runwatch.stack.jars import kafka_jars
from runwatch.stack.ports import any_free

pytestmark = pytest.mark.stack

AWAY_S = 12.0
"""Longer than all the clients' waits between two tries."""


@dataclass
class Broker:
    address: str
    process: subprocess.Popen[bytes]

    def say(self, scope: str, mode: str) -> None:
        now_ms = int(time.time() * 1000)
        control = Control(uuid7(now_ms), scope, mode, now_ms, "a test", "somebody")  # type: ignore[arg-type]
        send({"bootstrap.servers": self.address}, "agent.control", LocalRegistry(), control)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Nobody else uses it, and it is not restarted."""
    folder, jars = tmp_path / "kafka", kafka_jars(lambda _text: None)
    node = kafka.Node(1, any_free(), any_free())
    kafka.write_config(folder, node, [node])
    kafka.format_storage(folder, jars, kafka.new_cluster_id())
    with (tmp_path / "kafka.log").open("wb") as log:
        process = subprocess.Popen(kafka.broker_command(folder, jars, 256), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not kafka.is_ready(node.bootstrap, 1.0):
            assert time.monotonic() < deadline and process.poll() is None, "the broker does not start"
            time.sleep(0.2)
        ensure_topics(node.bootstrap, "", partitions=1)
        yield Broker(node.bootstrap, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(30)


AGENT = """
    import json, sys, time, runwatch
    from runwatch.control.guardrails import *

    kafka, seconds = sys.argv[1], float(sys.argv[2])
    guardrails = Guardrails(tools=ToolPolicy("allow_all"), writes=Writes(require_approval=False),
                            kill_switch=KillSwitch(on_control_lost="disable_writes", lost_after=60))

    class Nowhere:
        def send(self, messages): return len(messages)
        def serve(self, timeout_s): pass
        def flush(self, timeout_s): return 0
        def counts(self): return 0, 0, 0
        def away(self): return False
        def abandon(self): pass

    where = {"kafka": kafka} if kafka else {"transport": Nowhere()}
    watch = runwatch.connect("a", "1", guardrails=guardrails, **where)
    run = watch.run(f"run-{kafka}", budgets=NO_BUDGETS)
    watch.flush(10)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    took, refused, until = [], 0, time.monotonic() + seconds
    while time.monotonic() < until:
        number = len(took)
        began = time.perf_counter()
        try:
            run.call_tool("t", {"n": number}, lambda n: n, writes=number % 20 == 0)
        except runwatch.Refused:
            refused += 1
        took.append(time.perf_counter() - began)
        time.sleep(0.002)
    print(json.dumps({"took": took, "refused": refused}), flush=True)
    sys.stdin.readline()
    run.stop()
    watch.close(30)
    print(json.dumps(watch.stats()), flush=True)
"""


class Agent:
    def __init__(self, address: str) -> None:
        code = textwrap.dedent(AGENT)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, address, str(AWAY_S)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.hear() == {"ready": True}

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the agent ended without a word"
        return json.loads(line)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


@pytest.mark.timeout(240)
def test_while_the_broker_is_away_no_call_waits_and_none_is_refused(broker: Broker) -> None:
    agents = [Agent(broker.address), Agent("")]
    try:
        # Stopped, not killed: a broker that hangs is the worse case, since nothing tells that it is away.
        broker.process.send_signal(signal.SIGSTOP)
        for agent in agents:
            agent.go_on()
        away, alone = (agent.hear() for agent in agents)
        broker.process.send_signal(signal.SIGCONT)
        for agent in agents:
            agent.go_on()
        end = agents[0].hear()
    finally:
        for agent in agents:
            agent.end()
    assert (0, 0) == (away["refused"], alone["refused"])
    calls = len(away["took"])
    assert calls > 100 * AWAY_S, "the agent worked all the time"
    # What waits for a broker waits for tens of milliseconds at the least, and again and again.
    late, late_alone = (sum(took > 0.001 for took in each["took"]) / len(each["took"]) for each in (away, alone))
    assert late < late_alone + 0.005, (late, late_alone, quantile(away["took"], 0.99))
    assert quantile(away["took"], 0.99) < max(0.001, 2 * quantile(alone["took"], 0.99))
    assert max(away["took"]) < max(0.1, 2 * max(alone["took"]))
    # And nothing was lost.
    assert {"sent": calls + 2, "delivered": calls + 2, "dropped": 0, "failed": 0, "queued": 0} == end


@pytest.mark.timeout(240)
def test_a_process_is_bound_by_what_it_knew_until_it_hears_again(broker: Broker) -> None:
    guardrails = Guardrails(
        tools=ToolPolicy("allow_all"),
        writes=Writes(require_approval=False),
        kill_switch=KillSwitch(on_control_lost="disable_writes", lost_after=3.0),
    )
    broker.say("tool:shell", "stop")
    with runwatch.connect("a", kafka=broker.address, guardrails=guardrails) as watch:
        run = watch.run("r", budgets=runwatch.Budgets(tool_calls=None, steps=None))

        def may(tool: str, **given: bool) -> bool:
            try:
                run.call_tool(tool, [object()], lambda _: 1, **given)
            except runwatch.ToolDenied:
                return False
            return True

        assert [False, True, True] == [may("shell"), may("t"), may("t", writes=True)], (
            "the first run waits for the state"
        )
        broker.say("run:r", "disable_writes")
        until(lambda: not may("t", writes=True), 5.0)
        broker.say("run:r", "allow")
        until(lambda: may("t", writes=True), 5.0)
        broker.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: not may("t", writes=True), 30.0)
        assert time.monotonic() - stopped > 2.5, "for as long as is set the last state holds"
        assert [False, True] == [may("shell"), may("t")]
        broker.process.send_signal(signal.SIGCONT)
        until(lambda: may("t", writes=True), 30.0)
        broker.say("fleet", "stop")
        began = time.monotonic()
        with pytest.raises(runwatch.RunStopped):
            while time.monotonic() - began < 10:
                may("t")
                time.sleep(0.001)
        assert "killed" == run.stop()["stop_reason"]
    with runwatch.connect("late", kafka=broker.address) as late:
        run = late.run()
        with pytest.raises(runwatch.RunStopped):
            run.call_tool("t", {}, dict)
    stops = [name for name in _kinds(broker) if name == "stop"]
    assert 2 == len(stops)


def until(true, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def _kinds(broker: Broker) -> list[str]:
    """The kinds of all events in the topic."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "reader", "enable.auto.commit": False})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition("agent.events", 0), timeout=10)
        consumer.assign([TopicPartition("agent.events", 0, 0)])
        found: list[str] = []
        while len(found) < end:
            for message in consumer.consume(1000, timeout=5):
                body = wire.split(message.value())[1]
                found.append(wire.decode_body(body, avro.load("agent_event"))["kind"])
        return found
    finally:
        consumer.close()
