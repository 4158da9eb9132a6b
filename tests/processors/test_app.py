"""The wiring: a frame is acked once what it said has arrived, in order, and never when something went wrong."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from runwatch.config import Settings
from runwatch.processors.app import MOST_UNACKED, TICK_S, _Wiring, build_app
from runwatch.processors.emit import EmitError
from runwatch.processors.frames import Frame
from runwatch.processors.rules import Rules
from runwatch.schemas import avro, wire
from runwatch.schemas.anomalies import Anomaly
from runwatch.settings.policy import Policy, PolicyRule

from .enforce_model import anomaly
from .support import FOLDER, T0, event, frame, message
from .test_watch import own

EVENTS, WINDOWS, FLEET, ANOMALIES = "t-agent.events", "t-agent.windows", "t-agent.fleet", "t-agent.anomalies"
ANOMALY = avro.load("anomaly")
POLICY = Policy(rules=(PolicyRule(rule="loop.*", action="stop_run", duration="150m"),))
"""One that has to remember for longer than an hour."""


class FakeEmitter:
    """Takes messages; the test says when they have arrived."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, asyncio.Future[None]]] = []

    def send(self, topic: str, messages: Iterable[tuple[bytes, bytes]], headers: Any = None) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if count := len(list(messages)):
            self.sent.append((topic, count, done))
        else:
            done.set_result(None)
        return done

    def arrive(self) -> None:
        for _, _, done in self.sent:
            if not done.done():
                done.set_result(None)


class FakeEvent:
    """A frame as Faust hands it to an agent."""

    def __init__(self, value: Frame) -> None:
        self.value = value
        self.message = SimpleNamespace(topic=value.topic)
        self.acked = False

    def ack(self) -> None:
        self.acked = True


def wired(test: Callable[[_Wiring, FakeEmitter, list[Any]], Awaitable[None]]) -> None:
    """Runs a test with the wiring, a fake way out, and the list of what crashed the worker."""

    async def run() -> None:
        settings = Settings(kafka="127.0.0.1:1", prefix="t-", registry=None)
        wiring = _Wiring(build_app(settings, Rules(), FOLDER, Policy()), settings, Rules(), Policy())
        emitter, crashes = FakeEmitter(), list[Any]()

        async def crash(error: BaseException) -> None:
            crashes.append(error)

        wiring.emitter = wiring.quick_emitter = emitter  # type: ignore[assignment]
        wiring.app.crash = crash
        await test(wiring, emitter, crashes)

    asyncio.run(run())


@pytest.mark.parametrize("partitions", [1, 2, 7, 30])
def test_each_partition_is_sent_as_often_as_the_rules_say(partitions: int) -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        sent: list[int] = []

        async def send(partition: int, _now_ms: int) -> None:
            sent.append(partition)

        wiring._send_changed, wiring._send_every_s = send, 8 * TICK_S  # type: ignore[method-assign]
        for partition in range(partitions):
            begun = FakeEvent(frame([message(event("s", 0, "run_start"))], topic=EVENTS, partition=partition))
            await wiring._guarded(begun, wiring._events)
        for _ in range(4 * 8):
            await wiring.on_tick()
        assert dict.fromkeys(range(partitions), 4) == Counter(sent)

    wired(test)


def looping(first: int = 0, count: int = 4, **given: Any) -> FakeEvent:
    calls = [message(event(seq=seq, args_sha="same", result_sha="same")) for seq in range(first, first + count)]
    return FakeEvent(frame(calls, first, topic=EVENTS, **given))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_frame_is_acked_once_what_it_said_has_arrived() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        one, two = looping(), looping(4, 1)
        await wiring._guarded(one, wiring._events)
        await wiring._guarded(two, wiring._events)
        await settled()
        assert [("t-agent.anomalies", 2)] == [(topic, count) for topic, count, _ in emitter.sent]
        # The second has nothing to say, but its turn is after the first's.
        assert (False, False) == (one.acked, two.acked)
        emitter.arrive()
        await settled()
        assert (True, True) == (one.acked, two.acked)

    wired(test)


def test_no_more_is_worked_on_than_is_held_until_it_has_arrived() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        async def feed() -> None:
            for _ in range(MOST_UNACKED + 9):
                await wiring._guarded(looping(0, 1), lambda _frame: emitter.send("t-agent.anomalies", [(b"", b"")]))

        feeding = asyncio.ensure_future(feed())
        for _ in range(10):
            await settled()
        assert MOST_UNACKED + 1 == len(emitter.sent)
        while not feeding.done():
            emitter.arrive()
            await settled()
        assert MOST_UNACKED + 9 == len(emitter.sent)

    wired(test)


def test_what_did_not_arrive_stops_the_worker_before_the_ack() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, crashes: list[Any]) -> None:
        one = looping()
        await wiring._guarded(one, wiring._events)
        emitter.sent[0][2].set_exception(EmitError("away"))
        await settled()
        assert ["away"] == [str(error) for error in crashes]
        assert not one.acked

    wired(test)


def test_what_cannot_be_worked_on_stops_the_worker_before_the_ack() -> None:
    async def test(wiring: _Wiring, _emitter: FakeEmitter, crashes: list[Any]) -> None:
        def fails(_frame: Frame) -> Any:
            raise RuntimeError("unforeseen")

        one = looping()
        with pytest.raises(RuntimeError, match="unforeseen"):
            await wiring._guarded(one, fails)
        assert ["unforeseen"] == [str(error) for error in crashes]
        assert not one.acked

    wired(test)


def test_the_first_frame_of_a_stretch_waits_for_what_was_told_of_the_last() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        wiring.app.is_light = False  # with more to do, a tick leaves no time for fetches between its pieces
        wiring._send_every_s = TICK_S
        begun = FakeEvent(frame([message(event("s", 0, "run_start"))], topic=EVENTS))
        await wiring._guarded(begun, wiring._events)
        tick = asyncio.ensure_future(wiring.on_tick())
        await settled()
        assert [FLEET, WINDOWS] == [topic for topic, _, _ in emitter.sent]
        # All of the stretch was sent by the tick, and is under way.
        first = looping(1, 1, log_ms=T0 + Rules().windows.stretch)
        await wiring._guarded(first, wiring._events)
        await settled()
        assert not first.acked
        emitter.arrive()
        await settled()
        assert first.acked
        await tick

    wired(test)


def test_window_frames_are_acked_too() -> None:
    async def test(wiring: _Wiring, _emitter: FakeEmitter, _crashes: list[Any]) -> None:
        one = FakeEvent(frame([own(0)], topic=WINDOWS))
        await wiring._guarded(one, wiring._windows)
        assert one.acked

    wired(test)


def test_an_assignment_lets_go_of_what_was_unacked_and_of_what_was_taken_away() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        one = looping()
        await wiring._guarded(one, wiring._events)
        await wiring.on_assigned(None, [SimpleNamespace(topic=EVENTS, partition=3)])
        assert [] == wiring.event_watch.partitions
        emitter.arrive()
        await settled()
        assert not one.acked

    wired(test)


def test_the_app_replays_its_topics_and_starts_from_their_beginnings() -> None:
    async def build() -> Any:
        return build_app(Settings(kafka="one:1, two:2", prefix="t-"), Rules(), FOLDER, POLICY)

    app = asyncio.run(build())
    assert {ANOMALIES} == app.urgent
    assert {ANOMALIES, EVENTS} == app.first
    assert [ANOMALIES] == [topic for topic, one in app.horizons.items() if one.timed]
    assert {EVENTS: 120_000, WINDOWS: 3_600_000, FLEET: 7_200_000, ANOMALIES: 3 * 3_600_000} == {
        topic: one.stretch_ms for topic, one in app.horizons.items()
    }
    assert ("earliest", 6.0) == (app.conf.consumer_auto_offset_reset, app.conf.broker_session_timeout)
    assert ["kafka://one:1", "kafka://two:2"] == [str(url) for url in app.conf.broker]


def found(*anomalies: Anomaly, **given: Any) -> FakeEvent:
    """A frame of anomalies that were found just now."""
    now_ms = int(time.time() * 1000)
    values = [wire.encode(one.to_record(), ANOMALY, ANOMALY.schema_id) for one in anomalies]
    times = {"log_ms": now_ms, "each_log_ms": [now_ms] * len(values)}
    return FakeEvent(frame(values, topic=ANOMALIES, **(times | given)))


def test_anomalies_are_acked_once_the_commands_have_arrived() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        one, two = found(anomaly(run="r"), anomaly(run="s"), anomaly("drift.outcome")), found(anomaly(run="r"))
        for each in (one, two):
            await wiring._guarded(each, wiring.enforcement.take)
        assert [("t-agent.control", 2)] == [(topic, count) for topic, count, _ in emitter.sent if count]
        assert (False, False) == (one.acked, two.acked)
        emitter.arrive()
        await settled()
        assert (True, True, 2) == (one.acked, two.acked, wiring.enforcement.commanded.total())

    wired(test)


def test_a_cap_is_told_where_anomalies_are() -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        await wiring._guarded(found(*(anomaly(run=f"r{at}") for at in range(103))), wiring.enforcement.take)
        assert [("t-agent.control", 103), (ANOMALIES, 1)] == [(topic, count) for topic, count, _ in emitter.sent]

    wired(test)


@pytest.mark.parametrize("given", [{"replay": True}, {"log_ms": T0, "each_log_ms": [T0]}])
def test_nothing_is_commanded_of_what_is_replayed_or_long_over(given: dict[str, Any]) -> None:
    async def test(wiring: _Wiring, emitter: FakeEmitter, _crashes: list[Any]) -> None:
        one = found(anomaly(), **given)
        await wiring._guarded(one, wiring.enforcement.take)
        assert ([], True) == (emitter.sent, one.acked)

    wired(test)


def test_anomalies_wait_until_the_control_topic_was_read() -> None:
    async def test(wiring: _Wiring, _emitter: FakeEmitter, _crashes: list[Any]) -> None:
        follower = wiring.enforcement._follower
        follower.start = lambda: None  # type: ignore[method-assign]  # as if nothing came of it
        waiting = asyncio.ensure_future(wiring.enforcement.ready())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        follower._loaded = True
        await asyncio.wait_for(waiting, 5.0)
        await wiring.enforcement.clear()
        assert not wiring.enforcement._watch.holds(0)

    wired(test)
