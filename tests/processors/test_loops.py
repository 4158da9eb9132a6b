"""The loop rules, and that no split of the calls changes what they find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.loops import CYCLE, FAILING, REPEAT, Loop, LoopRules, Verdict, find, judge, sentence
from runwatch.processors.runs import RING, RunTable

from .support import cut

RULES = LoopRules()
OK, FAIL = 2, 3
"""Outcome hashes: odd where the call failed."""


def verdict(text: str, rules: LoopRules = RULES) -> Verdict | None:
    """Each letter is a call that came back the same each time; in capitals, one that failed."""
    return judge([ord(one.lower()) for one in text], [FAIL if one.isupper() else OK for one in text], rules)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a", None),
        ("aaa", None),
        ("aaaa", Verdict(REPEAT, 4, 1)),
        ("baaaaaa", Verdict(REPEAT, 6, 1)),
        ("aabaa", None),
        ("aaaab", None),
        ("AAA", None),
        ("AAAA", Verdict(FAILING, 4, 1)),
        ("AAAAa", None),
        ("aAAAA", Verdict(FAILING, 4, 1)),
        ("ababab", Verdict(CYCLE, 3, 2)),
        ("babab", None),
        ("xababab", Verdict(CYCLE, 3, 2)),
        ("ababababa", Verdict(CYCLE, 4, 2)),
        ("aBaBaB", Verdict(CYCLE, 3, 2)),
        ("abcabcabc", Verdict(CYCLE, 3, 3)),
        ("aabaabaab", Verdict(CYCLE, 3, 3)),
        ("abcdefabcdefabcdef", Verdict(CYCLE, 3, 6)),
        ("abcdefgabcdefgabcdefg", None),
        ("abcabc", None),
        ("abacadaeaf", None),
    ],
)
def test_the_rule_that_holds_at_the_end(text: str, expected: Verdict | None) -> None:
    assert expected == verdict(text)


def test_the_same_call_with_other_results_is_progress() -> None:
    assert judge([1] * 20, list(range(0, 40, 2)), RULES) is None


def test_the_same_call_failing_differently_each_time_is_a_loop() -> None:
    assert Verdict(FAILING, 5, 1) == judge([1] * 5, [1, 3, 5, 7, 9], RULES)


def test_a_cycle_with_other_results_is_progress() -> None:
    assert judge([1, 2] * 8, list(range(0, 32, 2)), RULES) is None


def test_thresholds_are_kept_to() -> None:
    rules = LoopRules(repeat=6, failing=2, cycles=5)
    assert verdict("aaaaa", rules) is None
    assert Verdict(REPEAT, 6, 1) == verdict("aaaaaa", rules)
    assert Verdict(FAILING, 2, 1) == verdict("AA", rules)
    assert verdict("abababab", rules) is None
    assert Verdict(CYCLE, 5, 2) == verdict("ababababab", rules)


@pytest.mark.parametrize(("name", "value"), [("repeat", 1), ("failing", RING + 1), ("cycles", 6)])
def test_thresholds_that_cannot_hold_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"loops\.{name} is between 2 and \d+, and this is {value}"):
        LoopRules(**{name: value})


def run_find(batches: list[list[tuple[int, int, int]]], rules: LoopRules = RULES) -> list[tuple[Any, ...]]:
    """Loops in these (run, call, outcome), frame by frame: run, place among all calls, and the rest."""
    table = RunTable(capacity=1)
    found: list[tuple[Any, ...]] = []
    taken: dict[int, int] = {}
    start = 0
    for batch in batches:
        runs = [run for run, _, _ in batch]
        unique, which = np.unique(np.array(runs, np.uint64), return_inverse=True)
        rows = table.locate(unique, np.zeros(len(unique), np.int64))[which]
        seqs = []
        for run in runs:
            seqs.append(taken.get(run, 0))
            taken[run] = seqs[-1] + 1
        calls, outcomes = (np.array([one[at] for one in batch], np.uint64) for at in (1, 2))
        loops: list[Loop] = find(
            table, rows, calls, outcomes, np.array(seqs, np.int64), np.array(seqs, np.int64) * 1000, rules
        )
        found += [(runs[loop.at], start + loop.at, loop.verdict, loop.seqs, loop.onset_ms) for loop in loops]
        start += len(batch)
    return found


def expected_loops(calls: list[tuple[int, int, int]], rules: LoopRules = RULES) -> list[tuple[Any, ...]]:
    """The same by the rules alone, call by call."""
    found: list[tuple[Any, ...]] = []
    history: dict[int, list[tuple[int, int]]] = {}
    fired: set[tuple[int, str]] = set()
    for at, (run, call, outcome) in enumerate(calls):
        steps = history.setdefault(run, [])
        steps.append((call, outcome))
        latest = steps[-RING:]
        holds = judge([one for one, _ in latest], [one for _, one in latest], rules)
        if holds and (run, holds.rule) not in fired:
            fired.add((run, holds.rule))
            seqs = tuple(range(len(steps) - holds.calls, len(steps)))
            found.append((run, at, holds, seqs, seqs[0] * 1000))
    return found


calls = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([2, 2, 2, 3, 4])), max_size=80)


@settings(max_examples=120)
@given(calls, st.sets(st.integers(0, 80), max_size=12), st.sampled_from([RULES, LoopRules(3, 2, 2)]))
def test_any_split_finds_what_one_by_one_finds(
    plan: list[tuple[int, int, int]], cuts: set[int], rules: LoopRules
) -> None:
    expected = expected_loops(plan, rules)
    assert expected == run_find([list(piece) for _, piece in cut(plan, cuts)], rules)
    assert expected == run_find([[one] for one in plan], rules)


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(3, 6), st.sets(st.integers(0, 120), max_size=10), st.randoms())
def test_a_planted_loop_is_found_however_runs_interleave(period: int, rounds: int, cuts: set[int], random: Any) -> None:
    # A cycle of one call is a repeat, which needs a fourth.
    looping = [(9, 100 + at % period, OK) for at in range(period * max(rounds, 4 if period == 1 else 3))]
    noise = [(run, 1000 + at, OK) for at in range(30) for run in (1, 2)]
    order = [9] * len(looping) + [0] * len(noise)
    random.shuffle(order)
    queues = {9: iter(looping), 0: iter(noise)}
    plan = [next(queues[one]) for one in order]
    found = run_find([list(piece) for _, piece in cut(plan, cuts)])
    assert [(9, REPEAT if period == 1 else CYCLE, period)] == [(one[0], one[2].rule, one[2].period) for one in found]


def test_a_rule_fires_once_a_run() -> None:
    found = run_find([[(1, 5, OK)] * 10, [(1, 5, OK)] * 10, [(2, 5, OK)] * 4])
    assert [(1, 3), (2, 23)] == [(one[0], one[1]) for one in found]


def test_a_long_frame_of_one_run_is_followed_through() -> None:
    found = run_find([[(1, at, OK) for at in range(500)] + [(1, 7, OK)] * 4])
    assert [(1, 503, Verdict(REPEAT, 4, 1))] == [one[:3] for one in found]


def test_no_calls_no_loops() -> None:
    empty = np.empty(0, np.int64)
    unsigned = np.empty(0, np.uint64)
    assert [] == find(RunTable(), empty, unsigned, unsigned, empty, empty, RULES)


def test_the_sentences() -> None:
    assert "http.get failed 4 times in a row with Timeout, always with the same arguments (steps 3 to 6)." == sentence(
        Verdict(FAILING, 4, 1), "http.get", (3, 4, 5, 6), "Timeout"
    )
    assert "a tool was called 4 times in a row with the same arguments and the same result (steps 0 to 3)." == sentence(
        Verdict(REPEAT, 4, 1), None, (0, 1, 2, 3), None
    )
    assert (
        "The same 2 calls, b the last of them, came round 3 times with the same arguments and results (steps 1 to 6)."
        == sentence(Verdict(CYCLE, 3, 2), "b", (1, 2, 3, 4, 5, 6), None)
    )
