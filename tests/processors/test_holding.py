"""Frames of which nearly nothing can be read: held before anything of them is folded in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runwatch.deadletters.guard import Guard
from runwatch.deadletters.limit import Limit
from runwatch.processors import holding as module
from runwatch.processors.decode import BadMessage
from runwatch.processors.frames import Frame
from runwatch.processors.holding import Holding, NotYet
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch
from runwatch.schemas.registry import LocalRegistry

from ..fakes import NoWords


def frame(count: int, **more: Any) -> Frame:
    return Frame("agent.events", 0, [b"\x09junk!"] * count, range(count), 1_000, **more)


def bad(count: int) -> list[BadMessage]:
    return [BadMessage(at, "magic", "the message begins with byte 9") for at in range(count)]


@pytest.fixture
def guard() -> Guard:
    made = Guard("processors", Limit(in_a_row=10), NoWords())
    made.look()
    return made


def test_a_frame_that_is_too_much_is_not_folded_in(guard: Guard) -> None:
    watch = EventWatch(LocalRegistry(), Rules())
    watch.look = Holding(guard).look
    with pytest.raises(NotYet) as caught:
        watch.take(frame(10))
    assert "10 messages in a row cannot be read (magic: the message begins with byte 9, not 0" in str(caught.value.why)
    assert 0 == watch.counts.unreadable


def test_before_the_first_bad_message_it_is_asked_whether_the_topic_is_held() -> None:
    holding = Holding(Guard("processors", Limit(), NoWords()))
    with pytest.raises(NotYet) as caught:
        holding.look(frame(1), bad(1))
    assert caught.value.why is None
    assert asyncio.run(holding.wait(caught.value, lambda: True))
    holding.look(frame(1), bad(1))


def test_what_is_replayed_was_judged_before(guard: Guard) -> None:
    Holding(guard).look(frame(100, replay=True), bad(100))
    assert [] == guard.troubled


def test_a_frame_waits_until_it_is_to_be_tried_again(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_S", 0.01)
    monkeypatch.setattr("runwatch.deadletters.guard.RETRY_S", 0.05)
    assert asyncio.run(Holding(guard).wait(NotYet("agent.events", "too much"), lambda: True))
    assert not guard.is_held("agent.events")
    assert ["agent.events"] == guard.troubled


def test_a_rebalance_does_not_wait_for_it(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_S", 0.01)
    flows = iter([True, True, False])
    assert not asyncio.run(Holding(guard).wait(NotYet("agent.events", "too much"), lambda: next(flows)))
    assert guard.is_held("agent.events")
