"""Commands, sent into the real topic and followed from there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer

from runwatch.config import Settings
from runwatch.control.follow import Follower
from runwatch.control.send import ControlError, send
from runwatch.schemas.controls import Control
from runwatch.schemas.ids import uuid7
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.topics import CONTROL, ensure_topics

pytestmark = pytest.mark.stack


def now_ms() -> int:
    return int(time.time() * 1000)


def command(scope: str, mode: Any = "stop", **given: Any) -> Control:
    return Control(uuid7(now_ms()), scope, mode, given.pop("ts_ms", now_ms()), "a test", "somebody", **given)


def until(true: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


@pytest.fixture
def its(stack: Any) -> Settings:
    settings: Settings = stack.unique()
    ensure_topics(settings.kafka, settings.prefix, partitions=1)
    return settings


def nobody_there() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"127.0.0.1:{closed.getsockname()[1]}"


def say(its: Settings, control: Control) -> None:
    send({"bootstrap.servers": its.kafka}, its.topic(CONTROL.name), LocalRegistry(), control)


@contextmanager
def following(its: Settings, kafka: str | None = None) -> Iterator[Follower]:
    follower = Follower({"bootstrap.servers": kafka or its.kafka}, its.topic(CONTROL.name), LocalRegistry)
    follower.start()
    try:
        yield follower
    finally:
        follower.close()


def test_who_starts_later_sees_what_stands(its: Settings) -> None:
    say(its, command("fleet", "stop"))
    say(its, command("fleet", "allow"))
    say(its, command("agent:a", "disable_writes"))
    with following(its) as follower:
        assert follower.wait_loaded(10.0)
        assert 0.0 == follower.lost_for_s()
        assert ["allow", "disable_writes"] == [one.mode for one in follower.state.commands(now_ms())]


def test_who_follows_hears_at_once(its: Settings) -> None:
    with following(its) as follower:
        assert follower.wait_loaded(10.0)
        say(its, command("run:r1"))
        until(lambda: follower.state.standing("run:r1", now_ms()))
        assert 0 == follower.ignored


def test_what_is_no_command_is_counted_and_passed_over(its: Settings) -> None:
    producer = Producer({"bootstrap.servers": its.kafka})
    producer.produce(its.topic(CONTROL.name), key=b"fleet", value=b"stop everything")
    producer.produce(its.topic(CONTROL.name), key=b"everyone", value=None)
    producer.flush(10)
    say(its, command("run:r1"))
    with following(its) as follower:
        until(lambda: follower.state.standing("run:r1", now_ms()))
        assert 2 == follower.ignored
        assert follower.state.strictest(["fleet"], now_ms()) is None


def test_a_message_without_a_value_takes_away_what_stands(its: Settings) -> None:
    say(its, command("run:r1"))
    with following(its) as follower:
        until(lambda: follower.state.standing("run:r1", now_ms()))
        producer = Producer({"bootstrap.servers": its.kafka})
        producer.produce(its.topic(CONTROL.name), key=b"run:r1", value=None)
        producer.flush(10)
        until(lambda: not len(follower.state))


def test_a_topic_that_nobody_has_made_forbids_nothing_and_is_followed_once_it_is_there(stack: Any) -> None:
    its = stack.unique()
    with following(its) as follower:
        assert follower.wait_loaded(10.0)
        assert 0.0 == follower.lost_for_s()
        ensure_topics(its.kafka, its.prefix, partitions=1)
        say(its, command("run:r1"))
        until(lambda: follower.state.standing("run:r1", now_ms()), 20.0)


def test_where_the_broker_is_away_nobody_waits_long(its: Settings) -> None:
    nobody = nobody_there()
    with following(its, nobody) as follower:
        began = time.monotonic()
        assert not follower.wait_loaded(30.0)
        assert time.monotonic() - began < 15.0
        assert follower.lost_for_s() > 0.0


def test_a_forked_child_goes_on_from_what_its_parent_knew(its: Settings) -> None:
    say(its, command("agent:a"))
    with following(its) as follower:
        until(lambda: follower.state.standing("agent:a", now_ms()))
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            follower.after_fork()
            knew = follower.state.standing("agent:a", now_ms()) is not None
            deadline = time.monotonic() + 20
            while follower.state.standing("run:r1", now_ms()) is None and time.monotonic() < deadline:
                time.sleep(0.01)
            heard = follower.state.standing("run:r1", now_ms()) is not None
            os.write(write, b"%d%d" % (knew, heard))
            os._exit(0)
        say(its, command("run:r1"))
        os.waitpid(pid, 0)
        assert b"11" == os.read(read, 2)
        until(lambda: follower.state.standing("run:r1", now_ms()))
        os.close(read)
        os.close(write)


def test_a_command_that_does_not_arrive_is_told(its: Settings) -> None:
    nobody = nobody_there()
    with pytest.raises(ControlError, match=r"did not reach .*agent\.control at 127\.0\.0\.1"):
        send({"bootstrap.servers": nobody}, its.topic(CONTROL.name), LocalRegistry(), command("fleet"), timeout_s=1.0)
