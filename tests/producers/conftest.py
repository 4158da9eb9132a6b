"""An agent in this process, with fakes in the place of what is outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runwatch.producers.connection import connect
from runwatch.producers.watch import Watch
from runwatch.schemas.events import AgentEvent

from ..fakes import FakeClock, FakeControl, FakeSink


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture(scope="session")
def new_sink() -> type[FakeSink]:
    """For tests that need more than one."""
    return FakeSink


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_watch(sink: FakeSink) -> Iterator[Callable[..., Watch]]:
    made: list[Watch] = []

    def make(**given: Any) -> Watch:
        watch = connect(**{"agent": "support", "version": "1.4.2", "model": "m1", "transport": sink, **given})
        made.append(watch)
        return watch

    yield make
    for watch in made:
        watch.close(1.0)


@pytest.fixture
def watch(make_watch: Callable[..., Watch], clock: FakeClock) -> Watch:
    return make_watch(clock=clock)


@pytest.fixture
def logged(watch: Watch, sink: FakeSink) -> Callable[[], list[AgentEvent]]:
    """What the fake sink holds, once everything has arrived there."""

    def read() -> list[AgentEvent]:
        assert watch.flush(5.0)
        return sink.events

    return read
