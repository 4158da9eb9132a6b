"""Signed commands on a real broker: a signer's are obeyed, nobody else's, and what is written over is said again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

import runwatch
from runwatch.control.follow import Follower
from runwatch.control.guardrails import Guardrails, ToolPolicy
from runwatch.control.send import ControlError, send
from runwatch.control.signers import FRESH_MS, Signers
from runwatch.control.signing import Signer, make_pair
from runwatch.schemas.controls import Control
from runwatch.schemas.ids import uuid7
from runwatch.schemas.registry import LocalRegistry

from .enforce_model import anomaly
from .test_enforce_worker import find
from .test_worker import made, wait_for, worker

pytestmark = pytest.mark.stack


def now_ms() -> int:
    return int(time.time() * 1000)


class House:
    """Signers, their keys, and a fleet of its own."""

    def __init__(self, stack: Any, folder: Path) -> None:
        self.its, self.env, self.log = made(stack, folder)
        self.keys = {name: make_pair() for name in ("mia", "policy")}
        self.file = folder / "signers"
        self.file.write_text("".join(f"{name} {public}\n" for name, (public, _) in self.keys.items()))
        key = folder / "policy.key"
        key.write_text(self.keys["policy"][1] + "\n")
        self.env |= {"RUNWATCH_CONTROL_SIGNERS": str(self.file), "RUNWATCH_CONTROL_KEY_FILE": str(key)}
        self.topic = self.its.topic("control")

    def signer(self, name: str, late_ms: int = 0) -> Signer:
        return Signer(self.keys[name][1], lambda: now_ms() + late_ms)

    def say(self, scope: str, mode: Any, signer: Signer | None) -> None:
        command = Control(uuid7(now_ms()), scope, mode, now_ms(), "a test", "somebody")
        send({"bootstrap.servers": self.its.kafka}, self.topic, LocalRegistry(), command, signer=signer)

    @contextmanager
    def following(self) -> Iterator[Follower]:
        follower = Follower(
            {"bootstrap.servers": self.its.kafka}, self.topic, LocalRegistry, signers=Signers(self.file)
        )
        follower.start()
        try:
            assert follower.wait_loaded(20.0)
            yield follower
        finally:
            follower.close()


@pytest.fixture
def house(stack: Any, tmp_path: Path) -> House:
    return House(stack, tmp_path)


def mode(follower: Follower, scope: str) -> str | None:
    found = follower.state.standing(scope, now_ms())
    return None if found is None else found.mode


def test_a_workers_commands_are_signed_and_what_is_written_over_is_said_again(house: House) -> None:
    with worker(house.env, house.log), house.following() as follower:
        find(house.its, [anomaly(run="bad")])
        wait_for("the policy's command", lambda: mode(follower, "run:bad"))
        house.say("fleet", "disable_writes", house.signer("mia"))
        wait_for("a person's command", lambda: mode(follower, "fleet"))
        assert ("policy", "mia") == (follower.signed_by("run:bad"), follower.signed_by("fleet"))
        # Somebody who may write, and has no key: one word against it, and one that would have Kafka forget it.
        before = follower.ignored
        house.say("fleet", "allow", None)
        producer = Producer({"bootstrap.servers": house.its.kafka})
        producer.produce(house.topic, key=b"fleet", value=None)
        assert 0 == producer.flush(10)
        wait_for("the noise", lambda: 2 == follower.ignored - before)
        assert "disable_writes" == mode(follower, "fleet")
        wait_for("it said again", lambda: "policy" == follower.signed_by("fleet"))
        assert "disable_writes" == mode(follower, "fleet")
    last = [one for one in commands_of(house) if one["scope"] == "fleet"][-1]
    assert ("disable_writes", "somebody", "a test") == (last["mode"], last["by"], last["why"])


def commands_of(house: House) -> list[dict[str, Any]]:
    """All that is in the topic but for what has no value."""
    from confluent_kafka import Consumer, TopicPartition

    from runwatch.schemas import avro, wire

    consumer = Consumer({"bootstrap.servers": house.its.kafka, "group.id": "reader", "enable.auto.commit": False})
    place = TopicPartition(house.topic, 0, 0)
    end = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.assign([place])
    found = [consumer.poll(10) for _ in range(end)]
    consumer.close()
    schema = avro.load("control")
    return [wire.decode_body(wire.split(one.value())[1], schema) for one in found if one.value() is not None]


def test_an_agent_obeys_whom_it_knows_and_nobody_else(house: House) -> None:
    watch = runwatch.connect(
        agent="careful",
        kafka=house.its.kafka,
        prefix=house.its.prefix,
        guardrails=Guardrails(tools=ToolPolicy(default_mode="allow_all")),
        control_signers=house.file,
    )
    with watch.run() as run:
        run.call_tool("look", {}, lambda: "seen")
        house.say("fleet", "stop", None)
        house.say("agent:careful", "stop", Signer(make_pair()[1], now_ms))
        with pytest.raises(ControlError, match=r"binds nobody: this machine's clock is 6\d\d s behind the broker's"):
            house.say(f"run:{run.run_id}", "stop", house.signer("mia", -2 * FRESH_MS))
        time.sleep(0.5)
        assert "seen" == run.call_tool("look", {"at": 2}, lambda at: "seen")
        house.say("agent:careful", "stop", house.signer("mia"))
        deadline = time.monotonic() + 20
        with pytest.raises(runwatch.RunStopped, match="by somebody"):
            while time.monotonic() < deadline:
                run.call_tool("look", {"at": time.monotonic()}, lambda at: "seen")
                time.sleep(0.02)
    watch.close(10.0)


def test_a_worker_whose_commands_nobody_would_obey_does_not_start(house: House) -> None:
    house.file.write_text(f"mia {house.keys['mia'][0]}\n")
    done = subprocess.run(
        [sys.executable, "-m", "runwatch", "process"], env=house.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode not in (0, -9)
    assert "is none of the signers' in RUNWATCH_CONTROL_SIGNERS: nobody would obey" in done.stderr
    assert "Traceback" not in done.stderr and house.keys["policy"][1][8:] not in done.stderr
