"""`runwatch alert` on a real broker: once an episode, whoever is killed or away meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from runwatch.alerts.app import run_alerts
from runwatch.alerts.deliver import Delivery
from runwatch.commands.health import counted, read_health
from runwatch.config import Settings
from runwatch.control.scopes import alerts_scope
from runwatch.control.send import send
from runwatch.schemas import avro, topics, wire
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.controls import Control
from runwatch.schemas.registry import open_registry
from runwatch.settings.alerts import Alerts, Receiver
from runwatch.stack.ports import any_free

from .servers import Hook, alertmanager
from .support import drift, everything, loop, over

pytestmark = pytest.mark.stack

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health is told often, so that nobody waits for it."""
    monkeypatch.setattr("runwatch.alerts.report.EVERY_S", 0.3)


@pytest.fixture
def its(stack: Any) -> Settings:
    its: Settings = stack.unique()
    topics.ensure_topics(its.kafka, its.prefix)
    return its


def say(its: Settings, *anomalies: Anomaly) -> None:
    schema = avro.load("anomaly")
    producer = Producer({"bootstrap.servers": its.kafka})
    for one in anomalies:
        producer.produce(its.topic("anomalies"), wire.encode(one.to_record(), schema, schema.schema_id), one.agent)
        producer.poll(0)
    producer.produce(its.topic("anomalies"), b"no anomaly", "x")
    assert 0 == producer.flush(30)


def to(hook: Hook | str, name: str = "team", **given: Any) -> Receiver:
    return Receiver(name=name, kind="webhook", url=hook if isinstance(hook, str) else hook.url, **given)  # type: ignore[arg-type]


@contextmanager
def telling(its: Settings, *receivers: Receiver, **given: Any) -> Iterator[None]:
    """`run_alerts`, in a thread."""
    stop = threading.Event()
    thread = threading.Thread(
        target=run_alerts, args=(its, Alerts(receivers=receivers, **given), everything), kwargs={"stop": stop}
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], what: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what()}"
        time.sleep(0.05)


def committed(its: Settings, name: str = "team") -> int:
    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": f"{its.prefix}runwatch-alerts-{name}"})
    try:
        return int(consumer.committed([TopicPartition(its.topic("anomalies"), 0)], timeout=10)[0].offset)
    finally:
        consumer.close()


def test_each_receiver_is_told_of_what_it_asks_for_and_goes_on_from_there(its: Settings) -> None:
    say(its, drift("d1"))  # found a moment before anybody was there to tell of it
    with Hook() as all_of_it, Hook() as loops:
        receivers = to(all_of_it), to(loops, "loops", rules=("loop.*",), agents=("sup*",))
        with telling(its, *receivers):
            until(lambda: all_of_it.told == ["open d1"], lambda: all_of_it.told)
            say(its, loop("l1"), loop("l2", agent="other"), over(drift("d1")), drift("d2", severity="info"))
            until(lambda: len(all_of_it.told) == 4 and len(loops.told) == 1, lambda: (all_of_it.told, loops.told))
            until(lambda: counted(read_health(its)).get("alerts_sent") == 5, lambda: read_health(its))
        assert ["open d1", "open l1", "open l2", "resolved d1"] == sorted(all_of_it.told)
        assert ["open l1"] == loops.told
        before = list(all_of_it.told)
        with telling(its, *receivers):
            say(its, drift("d1"), loop("l1"), over(drift("d1")), drift("d3"))
            until(lambda: "open d3" in all_of_it.told, lambda: all_of_it.told)
        assert [*before, "open d3"] == all_of_it.told


def test_a_receiver_that_is_away_holds_up_nobody_and_gets_what_it_missed(
    its: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    port = any_free()
    with Hook() as there, telling(its, to(f"http://127.0.0.1:{port}/s3cretpath", "away"), to(there, "there")):
        say(its, drift("d1"), over(drift("d1")), drift("d2"))
        until(lambda: "open d2" in there.told, lambda: there.told)
        until(lambda: counted(read_health(its)).get("alerts_away") == 1, lambda: read_health(its))
        with Hook(port) as back:
            until(lambda: len(back.told) == 2, lambda: back.told, 90)
            assert ["passed d1", "open d2"] == back.told
    told = [record.getMessage() for record in caplog.records if "could not be told" in record.getMessage()]
    assert 1 == len(told)
    assert "cannot be reached (connection refused)" in told[0]
    assert "s3cretpath" not in caplog.text


def test_an_alertmanager_keeps_what_stands_across_a_restart_of_ours(its: Settings, tmp_path: Path) -> None:
    silent = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
    with alertmanager(tmp_path, silent) as manager:
        receiver = Receiver(name="am", kind="alertmanager", url=manager.url)  # type: ignore[arg-type]

        def firing() -> dict[str, str]:
            return {one["labels"]["alertname"]: one["updatedAt"] for one in manager.alerts()}

        now = int(time.time() * 1000)
        one, other = drift("d1", onset_ms=now), drift("d2", rule="drift.outcome", onset_ms=now)
        with telling(its, receiver):
            say(its, one, other, loop("l1", onset_ms=now))
            until(lambda: len(firing()) == 3, firing)
        first = firing()
        with telling(its, receiver):
            say(its, over(other))
            until(lambda: "drift.outcome" not in firing(), firing)
            until(lambda: firing()["drift.latency_p95"] > first["drift.latency_p95"], firing)
        assert {"drift.latency_p95", "loop.repeat"} == set(firing())


def test_a_message_that_is_refused_is_given_up_and_the_next_one_told(
    its: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwatch.alerts.patience.FIRST_S", 0.01)
    monkeypatch.setattr("runwatch.alerts.patience.LIMIT_S", 0.02)
    with Hook() as hook:
        hook.status = 413
        with telling(its, to(hook)):
            say(its, drift("d1"))
            until(lambda: counted(read_health(its)).get("alerts_given_up") == 1, lambda: read_health(its))
            hook.status = 200
            say(its, drift("d2", agent="other"))
            until(lambda: hook.told == ["open d2"], lambda: hook.told)


def test_a_silence_is_heard_and_its_end_too(its: Settings) -> None:
    topic, registry = its.topic("control"), open_registry(None)
    scope = alerts_scope("drift.*", "sup*")

    def command(mode: Any, at: int) -> None:
        send({"bootstrap.servers": its.kafka}, topic, registry, Control(f"c{at}", scope, mode, at, "moving", "me"))

    now = int(time.time() * 1000)
    command("stop", now)
    with Hook() as hook, telling(its, to(hook)):
        say(its, drift("d1"), loop("l1"))
        until(lambda: hook.told == ["open l1"], lambda: hook.told)
        time.sleep(1)
        assert ["open l1"] == hook.told
        command("allow", now + 1)
        until(lambda: hook.told == ["open l1", "open d1"], lambda: hook.told)


def test_what_was_sent_and_noted_is_not_sent_again_by_one_that_was_killed_before_it_committed(
    its: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here nothing is ever committed, as if each were killed in between."""
    monkeypatch.setattr(Delivery, "_commit", lambda *_, **__: None)
    with Hook() as hook:
        for number in range(3):
            with telling(its, to(hook)):
                say(its, drift(f"d{number}"))
                until(lambda number=number: f"open d{number}" in hook.told, lambda: hook.told)
        assert ["open d0", "open d1", "open d2"] == hook.told
    assert 0 > committed(its)


CHILD = """
import os, sys, runwatch.alerts.deliver as deliver
place = sys.argv[1]
if place == "noted":
    deliver.Delivery._commit = lambda *_, **__: os.kill(os.getpid(), 9)
if place == "sent":
    deliver.Delivery._note = lambda self: self._unnoted and os.kill(os.getpid(), 9)
sys.argv = ["runwatch", "alert"]
from runwatch.__main__ import main
main()
"""


@pytest.fixture
def run_alert(stack: Any, its: Settings, tmp_path: Path) -> Callable[[Hook, str], subprocess.Popen[bytes]]:
    """`runwatch alert` as a process of its own, which kills itself at the place that is named."""

    def start(hook: Hook, place: str) -> subprocess.Popen[bytes]:
        file = tmp_path / "runwatch.yaml"
        file.write_text("alerts: {receivers: [{name: team, kind: webhook, url: '${HOOK}'}]}\n")
        environ = {**stack.environ(its), "HOOK": hook.url, "RUNWATCH_CONFIG": str(file)}
        return subprocess.Popen([sys.executable, "-c", CHILD, place], env=environ, stdin=subprocess.DEVNULL)

    return start


def test_killed_between_the_note_and_the_commit_it_is_told_once(
    its: Settings, run_alert: Callable[[Hook, str], subprocess.Popen[bytes]]
) -> None:
    with Hook() as hook:
        say(its, drift("d1"))
        for place in ("noted", ""):
            process = run_alert(hook, place)
            if place:
                assert -signal.SIGKILL == process.wait(PATIENCE_S)
        try:
            say(its, drift("d2"))
            until(lambda: "open d2" in hook.told, lambda: hook.told, 60)
        finally:
            process.terminate()
            assert 0 == process.wait(PATIENCE_S)
        assert ["open d1", "open d2"] == hook.told
    assert 4 == committed(its)


def test_killed_between_the_answer_and_the_note_it_comes_again_with_the_same_key(
    its: Settings, run_alert: Callable[[Hook, str], subprocess.Popen[bytes]]
) -> None:
    with Hook() as hook:
        say(its, drift("d1"))
        process = run_alert(hook, "sent")
        assert -signal.SIGKILL == process.wait(PATIENCE_S)
        process = run_alert(hook, "")
        try:
            until(lambda: len(hook.told) == 2, lambda: hook.told, 60)
        finally:
            process.terminate()
            assert 0 == process.wait(PATIENCE_S)
        assert 1 == len({headers["Idempotency-Key"] for headers in hook.headers})


def test_killed_again_and_again_in_a_stream_each_is_told(
    its: Settings, run_alert: Callable[[Hook, str], subprocess.Popen[bytes]]
) -> None:
    with Hook() as hook:
        expected = [f"d{number}" for number in range(18)]
        for batch in range(3):
            process = run_alert(hook, "")
            say(its, *(drift(name, agent=f"agent-{name}") for name in expected[batch * 6 : batch * 6 + 6]))
            if batch < 2:
                until(lambda batch=batch: len(hook.told) > batch * 6, lambda: hook.told, 60)
                os.kill(process.pid, signal.SIGKILL)
                process.wait(PATIENCE_S)
        try:
            until(lambda: set(expected) <= {told.partition(" ")[2] for told in hook.told}, lambda: hook.told, 90)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
        # A kill may fall between an answer and its note: what that one message said then comes again, or with more.
        posts = [{one["anomaly_id"] for one in post["body"]["anomalies"]} for post in hook.posts]
        assert set(expected) == set().union(*posts)
        said_again = [at for at, ids in enumerate(posts) if any(ids & later for later in posts[at + 1 :])]
        assert len(said_again) <= 2
        assert all(1 == sum(name in ids for ids in posts) for name in expected[12:])


def test_what_is_found_while_a_new_receiver_begins_is_told(its: Settings) -> None:
    names = [f"d{number}" for number in range(5)]
    # Its reading begins somewhere among these.
    with Hook() as hook, telling(its, to(hook)):
        for name in names:
            say(its, drift(name, agent=f"agent-{name}"))
            time.sleep(0.8)
        until(lambda: [f"open {name}" for name in names] == hook.told, lambda: hook.told)


def test_two_of_them_tell_it_once(its: Settings) -> None:
    with Hook() as hook, telling(its, to(hook)), telling(its, to(hook)):
        time.sleep(3)
        say(its, drift("d1"))
        until(lambda: hook.told == ["open d1"], lambda: hook.told)
        time.sleep(1)
        assert ["open d1"] == hook.told


def test_a_storm_of_loops_is_one_message_and_then_one_that_says_how_many(its: Settings) -> None:
    with Hook() as hook, telling(its, to(hook), group_for=2_000):
        say(its, *(loop(f"l{number}") for number in range(10_000)))
        until(lambda: sum(post["body"]["count"] for post in hook.posts) == 10_000, lambda: len(hook.posts), 60)
        assert 4 >= len(hook.posts)
        assert "more:" in hook.posts[-1]["body"]["text"]
