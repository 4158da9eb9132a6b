"""What is stored already is skipped, offset by offset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runwatch.sinks.resume import Memory, Stretches

PLACE = ("agent.events", 0)
Make = Callable[..., Any]


def as_stretches(offsets: set[int]) -> Stretches:
    runs: list[tuple[int, int]] = []
    for offset in sorted(offsets):
        if runs and runs[-1][1] == offset - 1:
            runs[-1] = (runs[-1][0], offset)
        else:
            runs.append((offset, offset))
    return Stretches(runs)


@given(st.sets(st.integers(0, 60)))
def test_stretches_hold_exactly_what_is_stored(stored: set[int]) -> None:
    stretches = as_stretches(stored)
    assert stored == {offset for offset in range(70) if offset in stretches}
    assert max(stored, default=-1) == stretches.end


@given(st.sets(st.integers(0, 40)), st.integers(0, 20), st.integers(1, 15))
def test_stored_and_fresh_together_are_every_message_once(
    message: Make, stored: set[int], first: int, size: int
) -> None:
    memory = Memory()
    memory.learn(PLACE, as_stretches(stored))
    fresh: list[int] = []
    for at in range(first, 50, size):
        fresh += [each.offset() for each in memory.fresh(PLACE, [message(n) for n in range(at, min(at + size, 50))])]
    assert [offset for offset in range(first, 50) if offset not in stored] == fresh


def test_an_assignment_forgets(message: Make) -> None:
    memory = Memory()
    memory.learn(PLACE, Stretches([(0, 5)]))
    memory.forget([PLACE, ("agent.events", 7)])
    assert not memory.knows(PLACE)
    assert [3] == [each.offset() for each in memory.fresh(PLACE, [message(3)])]
