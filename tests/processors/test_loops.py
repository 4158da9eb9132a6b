"""The loop rules: what each finds, what none does, and that no split of the calls changes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from runwatch.processors.loops import LoopRules
from runwatch.processors.loops.find import Loop, find
from runwatch.processors.loops.measures import FAILED, POOR, RETRIED, THROTTLED, UNKNOWN, Calls
from runwatch.processors.loops.sentences import sentence
from runwatch.processors.loops.verdicts import Verdict
from runwatch.processors.runs import RING, RunTable

from .loop_model import Call, Model, Teller
from .support import cut

RULES = LoopRules()
T0 = 1_760_000_000_000
PACE_MS = 2_000

Said = tuple[str, str, int]
"""Rule, level and the place of the call at which it was said."""


def found_in(batches: list[list[tuple[int, Call]]], rules: LoopRules = RULES) -> list[tuple[int, int, Loop]]:
    """Run, place among all calls, and what was found, of these (run, call), frame by frame."""
    table = RunTable(capacity=1)
    out: list[tuple[int, int, Loop]] = []
    taken: dict[int, int] = {}
    start = 0
    for batch in batches:
        runs = [run for run, _ in batch]
        unique, first, which = np.unique(np.array(runs, np.uint64), return_index=True, return_inverse=True)
        times = np.array([T0 + one.ms for _, one in batch], np.int64)
        rows = table.locate(unique, times[first], np.zeros(len(unique), np.int64))[which]
        seqs = []
        for run in runs:
            seqs.append(taken.get(run, 0))
            taken[run] = seqs[-1] + 1
        each = {name: [getattr(one, name) for _, one in batch] for name in ("call", "outcome", "error", "flags")}
        calls = Calls(
            *(np.array(each[name], np.uint32) for name in ("call", "outcome", "error")),
            np.array(each["flags"], np.uint8),
            np.array(seqs, np.int64),
            times,
        )
        out += [(runs[loop.at], start + loop.at, loop) for loop in find(table, rows, calls, rules)]
        start += len(batch)
    return out


def said_of(calls: list[Call], rules: LoopRules = RULES) -> list[Said]:
    """What is said of one run, all of it in one frame."""
    return [
        (loop.verdict.rule.removeprefix("loop."), ("warning", "critical")[loop.verdict.level - 1], at)
        for _, at, loop in found_in([[(1, one) for one in calls]], rules)
    ]


def run(text: str, *, pace_ms: int = PACE_MS, results: int | None = None) -> list[Call]:
    """Calls by letter: the same letter is the same call, in capitals one that failed; each came back as ever, or
    with `results` results in turn."""
    out = []
    for at, letter in enumerate(text.replace(" ", "")):
        outcome = ord(letter) << 3 if results is None else (at % results + 1) << 12
        if letter.isupper():
            outcome |= FAILED | POOR
        out.append(Call(ord(letter.lower()), outcome, error=ord(letter), ms=at * pace_ms))
    return out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a", []),
        ("aa", []),
        ("aaa", [("repeat", "warning", 2)]),
        ("aaaa", [("repeat", "warning", 2), ("repeat", "critical", 3)]),
        ("xyaaaaaaaa", [("repeat", "warning", 4), ("repeat", "critical", 5)]),
        ("aabaab", []),
        ("xyzAAA", [("failing", "warning", 5)]),
        ("xyzAAAA", [("failing", "warning", 5), ("failing", "critical", 6)]),
        # Nothing worked so far: less patience.
        ("AAA", [("failing", "critical", 2)]),
        ("BCAAA", [("failing", "critical", 4)]),
        ("babab", []),
        ("ababab", [("cycle", "critical", 5)]),
        ("xababab", [("cycle", "critical", 6)]),
        # Nothing new in five calls; at the third round it is a cycle too, but one warning is enough.
        ("abcabcabc", [("stale", "warning", 7)]),
        ("abcabcabcabc", [("stale", "warning", 7), ("stale", "critical", 9)]),
        ("abcdefabcdefabcdef", [("stale", "warning", 10), ("stale", "critical", 12)]),
        ("abcdefghijklmnopqrstuvwxyz", []),
        ("ab ac ad ae af", []),
        ("ab ac ad ae af ag", [("repeat", "warning", 10)]),
        ("ABABAB", [("cycle", "critical", 5)]),
    ],
)
def test_what_is_said_of_a_run(text: str, expected: list[Said]) -> None:
    assert expected == said_of(run(text))


def test_a_longer_cycle_where_nothing_else_is_asked() -> None:
    rules = LoopRules.model_validate({"stale": {"enabled": False}})
    assert [("cycle", "warning", 8), ("cycle", "critical", 11)] == said_of(run("abcabcabcabcabc"), rules)


@pytest.mark.parametrize("period", range(1, 7))
def test_the_same_calls_with_other_results_are_progress(period: int) -> None:
    calls = [Call(at % period, (at + 1) << 3, ms=at * PACE_MS) for at in range(60)]
    assert [] == said_of(calls)


def test_a_batch_of_other_calls_that_all_answer_the_same_is_no_loop() -> None:
    assert [] == said_of([Call(at, 8, ms=at * PACE_MS) for at in range(100)])
    assert [] == said_of([Call(at, 8 | POOR, ms=at * PACE_MS) for at in range(100)])


def test_the_same_call_failing_in_other_ways() -> None:
    calls = run("xyz") + [Call(9, at << 3 | FAILED | POOR, at, ms=(3 + at) * PACE_MS) for at in range(1, 5)]
    assert [("failing", "warning", 5), ("failing", "critical", 6)] == said_of(calls)


def test_one_tool_failing_the_same_way_whatever_the_arguments() -> None:
    calls = run("uvwxyz") + [Call(90 + at, 8 | FAILED | POOR, 1, ms=(6 + at) * PACE_MS) for at in range(7)]
    assert [("error", "warning", 10), ("error", "critical", 12)] == said_of(calls)


def test_the_same_error_with_other_results() -> None:
    calls = [*run("abcdefghijklmn")]
    calls += [Call(900 + at, at << 3 | FAILED | POOR, 1, ms=(14 + at) * PACE_MS) for at in range(1, 13)]
    assert [("error", "warning", 21), ("error", "critical", 25)] == said_of(calls)


def test_nothing_that_works_is_stagnation() -> None:
    calls = [Call(at, at << 3 | FAILED | POOR, at, ms=at * PACE_MS) for at in range(1, 9)]
    assert [("stagnation", "critical", 7)] == said_of(calls)


class TestPatience:
    """Polling that waits between its questions is none of the loops, until it is too much."""

    def test_decent_intervals(self) -> None:
        calls = run("abc") + [Call(9, 72, ms=6_000 + at * 60_000) for at in range(29)]
        assert [] == said_of(calls)

    def test_without_end(self) -> None:
        calls = run("abc") + [Call(9, 72, ms=6_000 + at * 60_000) for at in range(80)]
        assert [("waiting", "warning", 32), ("waiting", "critical", 62)] == said_of(calls)

    def test_a_back_off(self) -> None:
        calls = run("abc") + [Call(9, 72, ms=6_000 + 1_000 * 2**at) for at in range(8)]
        assert [] == said_of(calls)

    def test_several_things_asked_in_turn(self) -> None:
        calls = [Call(at % 3, 8 + 8 * (at % 3), ms=at // 3 * 60_000 + at % 3 * 1_000) for at in range(36)]
        assert [] == said_of(calls)

    def test_a_run_that_is_slow_at_everything_is_not_waiting(self) -> None:
        assert [("repeat", "warning", 7), ("repeat", "critical", 8)] == said_of(run("abcdexxxx", pace_ms=40_000))

    def test_the_interval_is_a_setting(self) -> None:
        rules = LoopRules.model_validate({"waiting": {"interval": "2m"}})
        calls = run("abc") + [Call(9, 72, ms=6_000 + at * 60_000) for at in range(4)]
        assert [("repeat", "warning", 5), ("repeat", "critical", 6)] == said_of(calls, rules)


def test_a_burst_is_given_two_more() -> None:
    assert [("repeat", "warning", 2)] == said_of(run("aaaaa", pace_ms=300))
    assert [("repeat", "warning", 2), ("repeat", "critical", 5)] == said_of(run("aaaaaa", pace_ms=300))


def test_calls_that_say_that_they_are_retries_are_given_two_more() -> None:
    calls = run("xyzAAAAAAA")
    retried = calls[:4] + [Call(one.call, one.outcome, one.error, RETRIED, one.ms) for one in calls[4:]]
    assert [("failing", "warning", 7), ("failing", "critical", 9)] == said_of(retried)


def test_a_storm_of_retries_in_one_run() -> None:
    calls = []
    for at in range(16):
        calls.append(Call(at, at << 3 | FAILED | POOR, 1, THROTTLED, at * PACE_MS))
        calls.append(Call(at, (100 + at) << 3, 0, RETRIED, at * PACE_MS + 500))
    assert [("retries", "warning", 11), ("retries", "critical", 19)] == said_of(calls)


def test_results_that_were_not_logged_prove_little() -> None:
    calls = [Call(1, 8 | UNKNOWN, ms=at * PACE_MS) for at in range(12)]
    assert [("repeat", "warning", 5), ("repeat", "critical", 11)] == said_of(calls)
    pair = [Call(at % 2, 8 | UNKNOWN, ms=at * PACE_MS) for at in range(40)]
    assert [] == said_of(pair)


def test_a_rule_that_is_off_says_nothing() -> None:
    rules = LoopRules.model_validate(
        {name: {"enabled": False} for name in ("repeat", "stale", "stagnation", "waiting")}
    )
    assert [] == said_of(run("a" * 40), rules)


def test_thresholds_are_kept_to() -> None:
    rules = LoopRules.model_validate({"repeat": {"warning": 5, "critical": 6}, "stale": {"enabled": False}})
    assert [] == said_of(run("aaaa"), rules)
    assert [("repeat", "warning", 4), ("repeat", "critical", 5)] == said_of(run("aaaaaa"), rules)


@pytest.mark.parametrize(
    "given_rules",
    [
        {"repeat": {"warning": 5, "critical": 4}},
        {"repeat": {"critical": 1}},
        {"repeat": {"between_critical": RING + 1}},
        {"runaway": {"warning": 4.0, "critical": 3.0}},
        {"hopeless_share": 0},
    ],
)
def test_thresholds_that_cannot_hold_are_refused(given_rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LoopRules.model_validate(given_rules)


def test_the_evidence() -> None:
    (_, _, warning), (_, _, critical) = found_in([[(1, one) for one in run("xyaaaa")]])
    assert ((2, 3, 4), T0 + 2 * PACE_MS, False) == (warning.seqs, warning.onset_ms, warning.escalates)
    assert ((2, 3, 4, 5), T0 + 2 * PACE_MS, True) == (critical.seqs, critical.onset_ms, critical.escalates)


def test_the_evidence_between_other_calls() -> None:
    ((_, _, loop),) = found_in([[(1, one) for one in run("ab ac ad ae af ag")]])
    assert ((0, 2, 4, 6, 8, 10), True) == (loop.seqs, loop.verdict.between)


def test_runs_do_not_mix() -> None:
    calls = [(number % 2, one) for number, one in enumerate(run("aaaaaa"))]
    assert {(0, 4), (1, 5)} == {(run_id, at) for run_id, at, _ in found_in([calls])}


def test_clocks_that_jump_change_no_more_than_patience() -> None:
    calls = [Call(1, 8, ms=ms) for ms in (0, 5_000, -(10**12), 0, 10**14, 10**14 + 1)]
    assert "repeat" in {rule for rule, _, _ in said_of(calls)}


def test_no_calls_no_loops() -> None:
    assert [] == found_in([[]])


# -- against the model -------------------------------------------------------------------------------------------------

EASY = LoopRules.model_validate(
    {
        "repeat": {"warning": 2, "critical": 3, "burst_critical": 4, "between_warning": 3, "between_critical": 5},
        "failing": {"warning": 2, "critical": 3, "hopeless": 2, "retries_warning": 3, "retries_critical": 4},
        "cycle": {"warning": 2, "critical": 3, "pairs": 2},
        "stale": {"warning": 3, "critical": 6, "poor": 4},
        "error": {"warning": 2, "critical": 4, "class_warning": 3, "class_critical": 5},
        "stagnation": {"warning": 4, "critical": 6, "hopeless": 4},
        "waiting": {"warning": 4, "critical": 6, "interval": "5s", "pace": 1.5},
        "retries": {"warning": 3, "critical": 5},
    }
)
OUTCOMES = [8, 8, 16, 24, 8 | POOR, 8 | FAILED | POOR, 16 | FAILED | POOR, 8 | UNKNOWN]
GAPS = [0, 100, 1_000, 2_000, 3_000, 6_000, 30_000, 90_000, -5_000]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Call]]:
    """Calls of three runs, with stretches that come round again."""
    out: list[tuple[int, Call]] = []
    clock = dict.fromkeys(range(3), 0)
    for _ in range(draw(st.integers(0, 8))):
        run_id = draw(st.integers(0, 2))
        stretch = draw(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(OUTCOMES)), min_size=1, max_size=6))
        gap = draw(st.sampled_from(GAPS))
        for _ in range(draw(st.integers(1, 9))):
            for call, outcome in stretch:
                clock[run_id] += draw(st.sampled_from(GAPS)) if draw(st.booleans()) else gap
                flags = draw(st.sampled_from([0, 0, 0, RETRIED, THROTTLED]))
                out.append((run_id, Call(call, outcome, outcome & 1, flags, clock[run_id])))
    return out


@settings(max_examples=150, deadline=None)
@given(histories(), st.sets(st.integers(0, 200), max_size=12), st.sampled_from([RULES, EASY]))
def test_any_split_finds_what_the_model_finds(
    history: list[tuple[int, Call]], cuts: set[int], rules: LoopRules
) -> None:
    models = {run_id: (Model(rules), Teller()) for run_id in range(3)}
    expected = []
    for at, (run_id, one) in enumerate(history):
        model, teller = models[run_id]
        expected += [(run_id, at, *told) for told in teller.tell(model.add(one))]
    for batches in ([list(piece) for _, piece in cut(history, cuts)], [[one] for one in history]):
        found = [
            (run_id, at, loop.verdict.rule, loop.verdict.level, loop.verdict.count, loop.verdict.period, loop.escalates)
            for run_id, at, loop in found_in(batches, rules)
        ]
        assert expected == found


@settings(max_examples=60, deadline=None)
@given(histories(), st.sets(st.integers(0, 200), max_size=12))
def test_any_split_gives_the_same_evidence(history: list[tuple[int, Call]], cuts: set[int]) -> None:
    whole = [(run_id, at, loop.seqs, loop.onset_ms) for run_id, at, loop in found_in([history], EASY)]
    split = found_in([list(piece) for _, piece in cut(history, cuts)], EASY)
    assert whole == [(run_id, at, loop.seqs, loop.onset_ms) for run_id, at, loop in split]


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "error", "expected"),
    [
        (
            Verdict("loop.failing", 2, 4),
            "Timeout",
            "http.get failed 4 times in a row with Timeout, always with the same arguments (steps 3 to 6).",
        ),
        (
            Verdict("loop.repeat", 2, 4),
            None,
            "http.get was called 4 times in a row with the same arguments and the same result (steps 3 to 6).",
        ),
        (
            Verdict("loop.repeat", 1, 4, between=True),
            None,
            "http.get was called 4 times with the same arguments and the same result, with other calls between "
            "(up to step 6).",
        ),
        (
            Verdict("loop.cycle", 2, 2, 2),
            None,
            "The same 2 calls, http.get the last of them, came round 2 times with the same arguments and results "
            "(steps 3 to 6).",
        ),
        (
            Verdict("loop.stale", 2, 4),
            None,
            "The run goes in circles: its last 4 calls, http.get the last of them, were all made before, with results "
            "that it had seen before (steps 3 to 6).",
        ),
        (
            Verdict("loop.error", 2, 4),
            "E" * 80,
            f"http.get failed 4 times in a row with {'E' * 59}…, whatever the arguments (steps 3 to 6).",
        ),
        (
            Verdict("loop.stagnation", 2, 4),
            None,
            "The run gets nowhere: its last 4 calls, http.get the last of them, failed or repeated earlier ones "
            "(steps 3 to 6).",
        ),
        (
            Verdict("loop.waiting", 1, 4),
            None,
            "http.get was asked 4 times for the same thing and always said the same (steps 3 to 6).",
        ),
        (
            Verdict("loop.retries", 1, 4),
            "HTTPError",
            "4 of the run's last calls were retries, or answered with 429 or 5xx; the latest was http.get with "
            "HTTPError.",
        ),
    ],
)
def test_the_sentences(verdict: Verdict, error: str | None, expected: str) -> None:
    assert expected == sentence(verdict, "http.get", (3, 4, 5, 6), error)
