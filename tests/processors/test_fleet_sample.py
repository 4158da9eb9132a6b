"""Samples of runs: exact while there are few, near enough beyond, and the same in whatever order they come together."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.processors.fleet import sample

_sets = st.lists(st.dictionaries(st.integers(0, 2**63 - 1), st.sampled_from(["a", "b"]), max_size=90), max_size=5)


@given(_sets, st.randoms())
def test_a_union_of_unions_is_the_union(sets: list[dict[int, str]], random: Random) -> None:
    # A run has one agent.
    sets = [{run: "ab"[run % 2] for run in one} for one in sets]
    everything = {run: agent for one in sets for run, agent in one.items()}
    expected = {run: everything[run] for run in sorted(everything)[: sample.SAMPLE]}
    shuffled = random.sample(sets, len(sets))
    halves = [sample.union(shuffled[: len(sets) // 2]), sample.union(shuffled[len(sets) // 2 :])]
    assert expected == sample.union(halves) == sample.union(sets)


@given(st.sets(st.integers(0, 2**63 - 1), max_size=sample.SAMPLE - 1))
def test_few_are_counted_exactly(runs: set[int]) -> None:
    assert len(runs) == sample.count(dict.fromkeys(runs, "a"))


@pytest.mark.parametrize("runs", [64, 100, 1_000, 100_000])
def test_many_are_counted_nearly(runs: int) -> None:
    random = Random(runs)
    counts = [
        sample.count(sample.union([dict.fromkeys((random.getrandbits(63) for _ in range(runs)), "a")]))
        for _ in range(12)
    ]
    assert 0.85 * runs <= sum(counts) / len(counts) <= 1.15 * runs
    assert all(0.6 * runs <= one <= 1.6 * runs for one in counts)


def test_agents_are_those_of_the_sample() -> None:
    assert ["a", "b"] == sample.agents({1: "b", 2: "a", 3: "b"})
