"""The table of open runs against plain models of it."""

from __future__ import annotations

import tracemalloc
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.runs import I64 as I64Array
from runwatch.processors.runs import RING, RunTable

U64, I64 = np.uint64, np.int64


class Seen:
    """What `fresh` is to answer: sets, and the rule that 64 places behind is too late to tell."""

    def __init__(self) -> None:
        self.places: dict[int, set[int]] = {}

    def note(self, run: int, seq: int) -> bool:
        places = self.places.setdefault(run, set())
        if seq in places or (places and seq <= max(places) - 64):
            return False
        places.add(seq)
        return True


def fresh(table: RunTable, runs: list[int], seqs: list[int]) -> list[bool]:
    unique, which = np.unique(np.array(runs, U64), return_inverse=True)
    rows = table.locate(unique, np.zeros(len(unique), I64), np.zeros(len(unique), I64))[which]
    return [bool(one) for one in table.fresh(rows, np.array(seqs, I64))]


def end(table: RunTable, run: int) -> None:
    table.end(table.locate(np.array([run], U64), np.zeros(1, I64), np.zeros(1, I64)))


places = st.one_of(st.integers(0, 8), st.integers(0, 200), st.sampled_from([63, 64, 65, 127, 128, 2**40, 2**62]))
events = st.lists(st.tuples(st.integers(0, 3), places), min_size=1, max_size=40)


@settings(max_examples=80)
@given(st.lists(st.tuples(events, st.sets(st.integers(0, 3), max_size=2)), max_size=6))
def test_repeats_are_told_as_by_sets_in_any_frames_and_after_the_end(
    frames: list[tuple[list[tuple[int, int]], set[int]]],
) -> None:
    table, model = RunTable(capacity=1), Seen()
    for batch, ended in frames:
        expected = [model.note(run, seq) for run, seq in batch]
        assert expected == fresh(table, [run for run, _ in batch], [seq for _, seq in batch])
        for run in ended & {run for run, _ in batch}:
            end(table, run)


def test_rising_places_are_fresh_and_the_same_again_are_not() -> None:
    table = RunTable()
    assert [True] * 6 == fresh(table, [1, 2, 1, 2, 1, 2], [0, 0, 1, 1, 2, 5])
    assert [False] * 6 == fresh(table, [1, 2, 1, 2, 1, 2], [0, 0, 1, 1, 2, 5])


def test_a_gap_can_be_filled_within_64_places() -> None:
    table = RunTable()
    assert [True, True] == fresh(table, [1, 1], [0, 70])
    assert [True, False, False] == fresh(table, [1, 1, 1], [7, 6, 7])


def test_a_run_that_was_first_met_in_its_middle_takes_what_came_before() -> None:
    table = RunTable()
    assert [True, True, False] == fresh(table, [1, 1, 1], [50, 49, 50])


def test_an_ended_run_is_remembered_for_two_generations() -> None:
    table = RunTable()
    for forgotten, expected in ((0, False), (1, False), (2, True)):
        run = 10 + forgotten
        assert [True] == fresh(table, [run], [3])
        end(table, run)
        assert 0 == len(table)
        for _ in range(forgotten):
            table.age()
        assert [expected] == fresh(table, [run], [3])
        end(table, run)


def test_idle_runs_are_forgotten_and_their_rows_used_again() -> None:
    table = RunTable(capacity=4)
    rows = table.locate(np.array([1, 2, 3], U64), np.zeros(3, I64), np.zeros(3, I64))
    table.touched_ms[rows] = [10, 20, 30]
    assert 2 == table.forget(25)
    assert 1 == len(table)
    again = table.locate(np.array([3, 4, 5], U64), np.zeros(3, I64), np.zeros(3, I64))
    assert rows[2] == again[0]
    assert set(rows[:2].tolist()) >= set(again[1:].tolist()) - {3}
    assert 4 == len(table.run)


def test_the_table_grows_and_keeps_what_it_knows() -> None:
    table = RunTable(capacity=2)
    runs = list(range(100, 200))
    assert [True] * 100 == fresh(table, runs, list(range(100)))
    assert 100 == len(table)
    assert [False] * 100 == fresh(table, runs, list(range(100)))
    rows = table.locate(np.array(runs, U64), np.zeros(100, I64), np.zeros(100, I64))
    assert 100 == len(set(rows.tolist()))
    assert runs == table.run[rows].tolist()


def test_memory_of_a_hundred_thousand_open_runs() -> None:
    count = 100_000
    runs = np.arange(count, dtype=U64) * U64(0x9E3779B97F4A7C15)
    tracemalloc.start()
    try:
        table = RunTable()
        # As they come: some in every frame, so that the table grows on the way.
        for first in range(0, count, 1_000):
            table.locate(runs[first : first + 1_000], np.zeros(1_000, I64), np.zeros(1_000, I64))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == len(table)
    assert 1024 > held / count
    # While it grows, one column stands there twice.
    assert 1280 > peak / count


# -- calls ---------------------------------------------------------------------------------------

call = st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 5))


def push(table: RunTable, rows: I64Array, kept: dict[str, list[int]]) -> None:
    """Appends calls to these rows' rings, one after the other."""
    order = np.argsort(rows, kind="stable")
    unique, starts, lengths = np.unique(rows[order], return_index=True, return_counts=True)
    table.push(unique, starts, lengths, {name: np.array(values)[order] for name, values in kept.items()})


def ring(table: RunTable, row: int) -> list[tuple[int, int]]:
    """What the ring of a row holds, oldest first."""
    count = int(table.calls[row])
    places = np.arange(max(0, count - RING), count) % RING
    return list(zip(table.ring_call[row, places].tolist(), table.ring_outcome[row, places].tolist(), strict=True))


@settings(max_examples=100)
@given(st.lists(st.lists(call, min_size=1, max_size=80), max_size=4))
def test_the_ring_keeps_the_latest_calls(frames: list[list[tuple[int, int, int]]]) -> None:
    table = RunTable(capacity=1)
    rows = table.locate(np.array([7, 8, 9], U64), np.array([500, 0, 10**9], I64), np.zeros(3, I64))
    model: list[deque[tuple[int, int]]] = [deque(maxlen=RING) for _ in range(3)]
    for batch in frames:
        which = np.array([run for run, _, _ in batch])
        push(table, rows[which], {"call": [one for _, one, _ in batch], "outcome": [one for _, _, one in batch]})
        for run, one, outcome in batch:
            model[run].append((one, outcome))
    assert [list(kept) for kept in model] == [ring(table, int(row)) for row in rows]


def test_a_row_that_is_used_again_has_no_former_calls() -> None:
    table = RunTable(capacity=1)
    rows = table.locate(np.array([1], U64), np.zeros(1, I64), np.zeros(1, I64))
    push(table, rows, {"call": [1], "outcome": [1]})
    table.fired[rows] = 7
    table.streaks[rows] = 3
    table.taken[rows] = 4.0
    table.end(rows)
    rows = table.locate(np.array([2], U64), np.zeros(1, I64), np.zeros(1, I64))
    assert [] == ring(table, int(rows[0]))
    assert [0, 0, 0] == [table.fired[rows].sum(), table.streaks[rows].sum(), table.taken[rows].sum()]


def test_restart_forgets_calls_and_keeps_places() -> None:
    table = RunTable()
    assert [True] == fresh(table, [1], [0])
    rows = table.locate(np.array([1], U64), np.zeros(1, I64), np.zeros(1, I64))
    push(table, rows, {"call": [1], "outcome": [1]})
    table.restart(rows, np.zeros(1, I64))
    assert [] == ring(table, int(rows[0]))
    assert [False] == fresh(table, [1], [0])


@pytest.mark.parametrize("seqs", [[5, 4, 3, 2, 1, 0], [0, 2, 1, 4, 3, 5], [3, 3, 3, 0, 0, 5]])
def test_out_of_order_within_a_frame_and_one_by_one_agree(seqs: list[int]) -> None:
    together, alone = RunTable(), RunTable()
    expected = [fresh(alone, [1], [seq])[0] for seq in seqs]
    assert expected == fresh(together, [1] * len(seqs), seqs)
