"""Where a replay begins, against a log whose times are known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.replay import Horizon, replay_starts, stretch_start

STRETCH = 300_000
DAY = 86_400_000
NOW = 20_000 * DAY


class Log:
    """A topic's partitions by their messages' append times; answers as Kafka does."""

    def __init__(self, times: Mapping[int, list[int]], first: int = 0) -> None:
        self.times = times
        self.first = first
        """Offset of the first message: those before it were deleted."""
        self.requests = 0

    async def lookup(self, asked: dict[int, int]) -> Mapping[int, int | None]:
        self.requests += 1
        return {
            partition: next((self.first + at for at, ms in enumerate(self.times[partition]) if ms >= since), None)
            for partition, since in asked.items()
        }


def starts(log: Log, committed: Mapping[int, int], before: int = 1, now_ms: int = NOW, **more: int) -> dict[int, int]:
    horizon = Horizon(STRETCH, before, **more)
    found = asyncio.run(replay_starts(committed, horizon, now_ms, log.lookup))
    for partition, start in found.items():
        last = log.times[partition][max(0, committed[partition] - log.first - 1)]
        if last > now_ms - horizon.kept_ms:
            assert stretch_start(last, STRETCH) - before * STRETCH == start.whole_ms
    return {partition: start.offset for partition, start in found.items()}


@pytest.mark.parametrize(("log_ms", "expected"), [(0, 0), (299_999, 0), (300_000, 300_000), (300_001, 300_000)])
def test_a_stretch_starts_at_a_multiple_of_its_length(log_ms: int, expected: int) -> None:
    assert expected == stretch_start(log_ms, STRETCH)


partition_log = st.lists(
    st.one_of(st.integers(0, 5_000), st.integers(0, 2 * STRETCH), st.just(STRETCH), st.integers(0, DAY // 4)),
    min_size=1,
    max_size=30,
)
"""Time between messages, and between the last of them and now."""


@settings(max_examples=80)
@given(st.lists(partition_log, min_size=1, max_size=3), st.integers(0, 2), st.integers(0, 2**20), st.data())
def test_a_replay_begins_at_a_stretch_with_whole_stretches_before_the_committed_one(
    gaps: list[list[int]], before: int, first: int, data: st.DataObject
) -> None:
    times: dict[int, list[int]] = {}
    for partition, one in enumerate(gaps):
        ms, back = NOW, []
        for gap in one:
            ms -= gap
            back.append(ms)
        # Kafka keeps three days.
        times[partition] = [ms for ms in reversed(back) if ms > NOW - 3 * DAY] or [NOW]
    committed = {
        partition: first + data.draw(st.integers(1, len(one)), label=f"read of partition {partition}")
        for partition, one in times.items()
    }
    log = Log(times, first)
    found = starts(log, committed, before)
    for partition, offset in found.items():
        one = times[partition]
        begin = offset - first
        last = one[committed[partition] - first - 1]
        since = stretch_start(last, STRETCH) - before * STRETCH
        assert 0 <= begin <= committed[partition] - first
        # All from that stretch's start on, and nothing before it.
        assert since <= one[begin]
        assert begin == 0 or one[begin - 1] < since
    assert set(committed) == set(found)
    assert log.requests <= ceil(log2(3 * DAY / STRETCH + 4)) + 2


def test_what_is_recalled_lies_before_the_stretch_that_is_read_whole() -> None:
    second = [NOW - STRETCH + at for at in range(100)]
    log = Log({0: [NOW - 3 * STRETCH, NOW - 2 * STRETCH, *second], 1: [NOW - 2 * STRETCH, *second]})
    assert {0: 2, 1: 1} == starts(log, {0: 102, 1: 101}, before=0)
    assert {0: 1, 1: 0} == starts(log, {0: 102, 1: 101}, before=0, recall_ms=STRETCH, most=1_000)
    assert {0: 0, 1: 0} == starts(log, {0: 102, 1: 101}, before=0, recall_ms=2 * STRETCH, most=1_000)
    # Half of the most for each of two, and never less than the stretch.
    assert {0: 2, 1: 1} == starts(log, {0: 52, 1: 51}, before=0, recall_ms=STRETCH, most=20)
    assert {0: 1, 1: 0} == starts(log, {0: 52, 1: 51}, before=0, recall_ms=STRETCH, most=102)


def test_of_what_is_older_than_the_topic_keeps_nothing_is_replayed() -> None:
    log = Log({0: [NOW - 30 * DAY, NOW]})
    assert {0: 1} == starts(log, {0: 1})


def test_a_broker_whose_clock_is_ahead_is_followed() -> None:
    ahead = NOW + STRETCH + 1
    log = Log({0: [NOW - 3 * STRETCH, ahead, ahead]})
    assert {0: 1} == starts(log, {0: 3}, before=0)


def test_nothing_committed_nothing_asked() -> None:
    log = Log({})
    assert {} == starts(log, {})
    assert 1 == log.requests


def test_where_the_log_is_gone_there_is_no_start() -> None:
    assert {} == starts(Log({0: []}, first=10), {0: 10})
