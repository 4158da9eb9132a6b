"""Payloads on their way out: taken without waiting, bounded, once each, redacted, sealed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from runwatch.control.snapshots import SnapshotError, Snapshots
from runwatch.producers.connection import connect
from runwatch.producers.snapshots import taking
from runwatch.schemas import avro, wire
from runwatch.schemas.canonical import sha
from runwatch.schemas.errors import RunwatchError
from runwatch.schemas.opaque import Opaque
from runwatch.schemas.sealing import Opener, make_pair

PUBLIC, PRIVATE = make_pair()
Opened = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def kept(new_sink: Callable[[], Any]) -> Any:
    """The way out of snapshots."""
    return new_sink()


@pytest.fixture
def opened(kept: Any) -> Opened:
    """The snapshots that have left, as their records, with what was sealed as `payload`."""

    def read() -> list[dict[str, Any]]:
        schema, opener = avro.load("snapshot"), Opener(PRIVATE)
        out = []
        for key, value in kept.messages:
            record = wire.decode_body(wire.split(value)[1], schema)
            assert key == record["sha"].encode()
            out.append(record | {"payload": json.loads(opener.open(record["sha"], record["sealed"]))})
        return out

    return read


@pytest.fixture
def taking_watch(make_watch: Callable[..., Any], kept: Any) -> Any:
    return make_watch(snapshots={"seal_for": PUBLIC}, snapshot_transport=kept)


def test_off_unless_asked_for(make_watch: Callable[..., Any], kept: Any) -> None:
    watch = make_watch(snapshot_transport=kept)
    with watch.run() as run:
        run.call_tool("t", {"a": 1}, lambda a: a)
    assert watch.flush(5.0)
    assert [] == kept.messages
    assert {0} == set(watch.snapshot_stats().values())


def test_arguments_and_results_leave_redacted_and_sealed_under_their_own_hashes(
    taking_watch: Any, sink: Any, kept: Any, opened: Opened
) -> None:
    payload = {"password": "hunter2", "to": "ann@example.com"}
    with taking_watch.run() as run:
        run.call_tool("mail", payload, lambda **_: ["sent to", "ann@example.com"])
        run.record_tool("shell", {"cmd": "ls"}, "README.md")
    assert taking_watch.flush(5.0)
    args, result, *_ = opened()
    assert (sha(payload), "args", "support", "mail") == tuple(args[name] for name in ("sha", "kind", "agent", "tool"))
    assert {"password": "[secret]", "to": "[email]"} == args["payload"]
    assert (["email", "secret"], [1, 1]) == (sorted(args["redactions"]), args["redaction_counts"])
    assert (["sent to", "[email]"], "result", False) == (result["payload"], result["kind"], result["truncated"])
    call = next(event for event in sink.events if event.tool == "mail")
    assert (call.args_sha, call.result_sha) == (args["sha"], result["sha"])
    assert [{"cmd": "ls"}, "README.md"] == sorted((one["payload"] for one in opened()[2:]), key=str, reverse=True)
    raw = b"".join(value for _, value in kept.messages + sink.messages)
    assert b"hunter2" not in raw
    assert b"ann@" not in raw
    assert {"sent": 4, "delivered": 4, "queued": 0, "dropped": 0, "failed": 0} == taking_watch.snapshot_stats()


def test_arguments_are_as_they_were_before_the_call(taking_watch: Any, opened: Opened) -> None:
    payload = {"items": [1]}
    with taking_watch.run() as run:
        run.call_tool("t", payload, lambda items: items.append(2))
    assert taking_watch.flush(5.0)
    assert {"items": [1]} == opened()[0]["payload"]


def test_decorated_and_async_calls_are_kept_too(taking_watch: Any, opened: Opened) -> None:
    @taking_watch.tool("search")
    def search(query: str) -> str:
        return f"found {query}"

    @taking_watch.tool("later")
    async def later(query: str) -> str:
        return f"later {query}"

    with taking_watch.run():
        search("cats")
        asyncio.run(later("dogs"))
    assert taking_watch.flush(5.0)
    assert [{"query": "cats"}, "found cats", {"query": "dogs"}, "later dogs"] == [one["payload"] for one in opened()]


def test_the_same_payload_is_sent_once(taking_watch: Any, opened: Opened) -> None:
    with taking_watch.run() as run:
        for _ in range(5):
            run.call_tool("t", {"a": 1}, lambda a: a)
        run.record_tool("t", 1, 1)
    assert taking_watch.flush(5.0)
    assert [{"a": 1}, 1] == [one["payload"] for one in opened()]


def test_it_is_sent_again_after_a_day(make_watch: Callable[..., Any], kept: Any, opened: Opened, clock: Any) -> None:
    watch = make_watch(snapshots={"seal_for": PUBLIC}, snapshot_transport=kept, clock=clock)
    with watch.run() as run:
        for day in (0, 0.9, 0.5, 1.1):
            clock.move(day * 86_400)
            run.record_tool("t", "x", "x")
    assert watch.flush(5.0)
    assert 2 == len(opened())


def test_what_is_remembered_is_bounded(taking_watch: Any, monkeypatch: pytest.MonkeyPatch, kept: Any) -> None:
    monkeypatch.setattr(taking, "KNOWN", 10)
    taker = taking_watch._rules.taker
    for number in range(100):
        taker.hashed(number, "args", "a", "t")
    assert len(taker._state.recent) + len(taker._state._older) <= 20


def test_what_there_is_no_room_for_is_dropped_and_counted(
    make_watch: Callable[..., Any], kept: Any, caplog: pytest.LogCaptureFixture
) -> None:
    kept.room = 0
    watch = make_watch(snapshots=Snapshots(PUBLIC, most_waiting_bytes=1_000), snapshot_transport=kept)
    gate = threading.Event()
    watch._rules.taker._sender._open_transport = lambda: gate.wait() or (None, kept)
    with watch.run() as run, caplog.at_level(logging.WARNING):
        began = time.perf_counter()
        for number in range(20):
            run.record_tool("t", "x" * 100 + str(number), number)
        assert time.perf_counter() - began < 1.0
    assert watch._rules.taker._state.waiting <= 1_000
    assert watch.snapshot_stats()["dropped"] >= 10
    assert "a snapshot was dropped" in caplog.text
    # Not given up for good: there may be room for it later.
    assert 40 > len(watch._rules.taker._state.recent)
    gate.set()


def test_room_comes_back_as_snapshots_leave(make_watch: Callable[..., Any], kept: Any) -> None:
    watch = make_watch(snapshots=Snapshots(PUBLIC, most_waiting_bytes=1_000), snapshot_transport=kept)
    with watch.run() as run:
        for number in range(20):
            run.record_tool("t", f"{number} {'x' * 400}", None)
            assert watch.flush(5.0)
    assert (0, 0) == (watch.snapshot_stats()["dropped"], watch._rules.taker._state.waiting)


def test_objects_that_raise_cost_a_hash_and_are_not_told(
    taking_watch: Any, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("hunter2")

        @property
        def status_code(self) -> int:
            raise ValueError("hunter2")

    def fails(**_: Any) -> None:
        raise LookupError("hunter2")

    with caplog.at_level(logging.DEBUG), taking_watch.run() as run:
        run.call_tool("t", {"it": Broken()}, lambda it: it)
        with pytest.raises(LookupError):
            run.call_tool("t", {"a": 1}, fails)
    assert taking_watch.flush(5.0)
    assert "hunter2" not in caplog.text
    assert all("hunter2" not in str(one) for one in opened())


def test_what_goes_wrong_while_redacting_is_not_told_in_its_own_words(
    taking_watch: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(payload: Any, *_: Any) -> None:
        raise ValueError(f"cannot take {payload.text}")

    monkeypatch.setattr(taking, "snapshot_of", wrong)
    with caplog.at_level(logging.DEBUG), taking_watch.run() as run:
        run.record_tool("t", "hunter2", None)
    assert taking_watch.flush(5.0)
    assert 2 == taking_watch.snapshot_stats()["failed"]
    assert "hunter2" not in caplog.text
    assert "one snapshot does not fit its schema and is left out: ValueError" in caplog.text


def test_an_opaque_value_has_the_hash_that_it_stands_for_and_no_snapshot(
    taking_watch: Any, sink: Any, opened: Opened
) -> None:
    with taking_watch.run() as run:
        run.call_tool("t", None, lambda: Opaque("a" * 24, 503))
    assert taking_watch.flush(5.0)
    call = sink.events[1]
    assert ("a" * 24, "error", 503) == (call.result_sha, call.status, call.http_status)
    assert [None] == [one["payload"] for one in opened()]


def test_a_forked_child_sends_its_own(taking_watch: Any, kept: Any, opened: Opened) -> None:
    read, write = os.pipe()
    with taking_watch.run() as run:
        run.record_tool("t", "parent", None)
        assert taking_watch.flush(5.0)
        child = os.fork()
        if not child:
            try:
                kept.messages.clear()
                run.record_tool("t", "child", None)
                assert taking_watch.flush(5.0)
                os.write(write, json.dumps([one["payload"] for one in opened()]).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as told:
        # What the parent sent the child need not send again.
        assert ["child"] == json.load(told)
    assert [None, "parent"] == [one["payload"] for one in opened()]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "there is no key to seal them for"),
        ({"seal_for": None}, "`runwatch snapshots key`"),
        ({"seal_for": PRIVATE}, "it is the private key"),
        ({"seal_for": "snap-pub-abc"}, "is not whole"),
        ({"seal_for": PUBLIC, "most_bytes": 5}, "must be from 256"),
        ({"seal_for": PUBLIC, "sealfor": 5}, "snapshots.sealfor is not a setting"),
        ({"seal_for": PUBLIC, "redact": {"off": ["mails"]}}, "has mails"),
        ({"seal_for": PUBLIC, "redact": {"patterns": {"a": "("}}}, "a is no regular expression"),
        ({"seal_for": PUBLIC, "redact": {"patterns": {"a": "x*"}}}, "matches nothing at all"),
        ({"seal_for": PUBLIC, "redact": {"patterns": {"A b": "x"}}}, "is no name for a mark"),
        (True, "are a mapping"),
    ],
)
def test_snapshots_that_cannot_be_are_refused_with_a_sentence(given: Any, told: str, sink: Any) -> None:
    with pytest.raises(SnapshotError) as error:
        connect("a", transport=sink, snapshots=given)
    assert told in str(error.value)
    assert PRIVATE not in str(error.value)


def test_without_pynacl_it_is_said_what_to_install(sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl", None)
    monkeypatch.setitem(sys.modules, "nacl.public", None)
    with pytest.raises(RunwatchError, match=r"pip install 'runwatch\[snapshots\]'"):
        connect("a", transport=sink, snapshots={"seal_for": PUBLIC})


def test_an_agent_on_the_same_connection_has_snapshots_in_its_own_name(taking_watch: Any, opened: Opened) -> None:
    with taking_watch.agent("other").run() as run:
        run.record_tool("t", "x", "x")
    assert taking_watch.flush(5.0)
    assert ["other"] == [one["agent"] for one in opened()]


def test_the_config_file_turns_them_on(
    make_watch: Callable[..., Any], kept: Any, opened: Opened, tmp_path: Any
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "logging: {events: {store_args: true}}\n"
        f"snapshots:\n  seal_for: {PUBLIC}\n  redact: {{keys: [salary], patterns: {{emp: {{find: 'EMP-\\d+'}}}}}}\n"
    )
    watch = make_watch(config=config, snapshot_transport=kept)
    with watch.run() as run:
        run.record_tool("t", {"salary": 1, "who": "EMP-17"}, None)
    assert watch.flush(5.0)
    assert {"salary": "[secret]", "who": "[emp]"} == opened()[-1]["payload"]
