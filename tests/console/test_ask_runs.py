"""Runs by kind, and one run's story: from events alone, and as ClickHouse answers it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from runwatch.console.ask.runs import MOST, RunChoices, RunFilter, RunRow, choices, runs
from runwatch.console.ask.steps import Found, Repeat, Step, Streak, answers, repeats, steps_of, streaks
from runwatch.console.ask.story import Command, mark, story, why
from runwatch.sinks.query import Row

from .filled import Filled, event

EMPTY = (
    "tool", "model", "args_sha", "result_sha", "duration_ms", "error", "http_status", "attempt", "stop_reason",
    "input_tokens", "output_tokens", "cost_usd",
)  # fmt: skip


def stored(seq: int, kind: str = "tool_result", **fields: Any) -> Row:
    at = datetime.fromtimestamp(fields.pop("at_s", seq), UTC)
    return {**dict.fromkeys(EMPTY), "seq": seq, "kind": kind, "ts": at, "status": "ok", **fields}


def call(seq: int, args: str, result: str | None = None, **fields: Any) -> Row:
    return stored(seq, tool="search", args_sha=args, result_sha=result, **fields)


# -- from events alone -----------------------------------------------------------------------------


def test_a_repeat_names_the_first_call_and_says_whether_the_answer_was_known() -> None:
    steps = steps_of([call(0, "a", "x"), call(1, "b", "x"), call(2, "a", "x"), call(3, "a", "y"), call(4, "a", "y")])
    assert [None, None, 0, 0, 0] == [one.again for one in steps]
    assert [False, False, True, False, True] == [one.same_result for one in steps]


def test_the_same_error_is_the_same_result_and_no_answer_is_none() -> None:
    failed = {"status": "error", "error": "Timeout"}
    steps = steps_of([call(0, "a", **failed), call(1, "a", **failed), call(2, "b"), call(3, "b")])
    assert [False, True, False, False] == [one.same_result for one in steps]


def test_another_tool_with_the_same_arguments_is_no_repeat() -> None:
    assert [None, None] == [one.again for one in steps_of([call(0, "a"), {**call(1, "a"), "tool": "fetch"}])]


def test_calls_without_arguments_are_never_repeats() -> None:
    assert [None, None] == [one.again for one in steps_of([stored(0, tool="t"), stored(1, tool="t")])]


def test_what_never_arrived_is_told_where_it_should_stand() -> None:
    assert [1, 0, 2] == [one.lost_before for one in steps_of([call(1, "a"), call(2, "b"), call(5, "c")])]


def test_a_refused_call_is_told_from_one_that_failed() -> None:
    refused = {"status": "error", "error": "RunStopped", "stop_reason": "killed"}
    done = {"status": "ok", "error": "AlreadyDone"}
    failed = {"status": "error", "error": "HTTPError"}
    steps = steps_of([call(0, "a", **refused), call(1, "b", **done), call(2, "c", **failed), stored(3, "stop")])
    assert [True, True, False, False] == [one.refused for one in steps]


def test_a_step_began_before_it_was_over_by_as_long_as_it_took() -> None:
    steps = steps_of([stored(0, "run_start", at_s=10), call(1, "a", at_s=12, duration_ms=500)])
    assert [(10_000, 10_000), (11_500, 12_000)] == [(one.began_ms, one.at_ms) for one in steps]
    # A stop carries the whole run's duration; it is a moment itself.
    assert 13_000 == steps_of([stored(0, "stop", at_s=13, duration_ms=3_000)])[0].began_ms


def test_steps_know_the_episodes_that_stand_on_them() -> None:
    found = [Found("a1", "loop.repeat", "open", "critical", 0, 0, None, "m", [1, 2]),
             Found("a2", "loop.cycle", "open", "warning", 0, 0, None, "m", [2])]  # fmt: skip
    steps = steps_of([call(0, "a"), call(1, "b"), call(2, "c")], found)
    assert [[], ["a1"], ["a1", "a2"]] == [one.anomalies for one in steps]


def test_the_first_three_questions_in_short() -> None:
    steps = steps_of(
        [
            stored(0, "run_start"),
            call(1, "a", "x"),
            call(2, "a", "x"),
            {**call(3, "b", "y"), "tool": "fetch"},
            stored(4, "model_result"),
            call(5, "a", None, status="error", error="Timeout"),
        ]
    )
    assert [Streak("search", 2, 1), Streak("fetch", 1, 3), Streak("search", 1, 5)] == streaks(steps)
    assert [Repeat("search", "a", [1, 2, 5], 2)] == repeats(steps)
    assert [("ok", 3), ("Timeout", 1)] == answers(steps)


def test_why_it_stopped_names_who_stopped_it() -> None:
    run = RunRow("r", None, "support", "1", None, None, None, 0, 5, 5, 5, 1, 0, 1, 0, 0, 0, None, None, None, "killed",
                 None, 0, 0, [])  # fmt: skip
    said = Command("agent:support", "stop", 4, "ann", "it loops", "")
    assert "It was stopped with agent:support by ann: it loops" == why(run, [said])
    assert "It was stopped by ann: it loops" == why(run, [replace(said, scope="run:r")])
    assert "It was stopped." == why(run, [])
    assert "Its budget of money was used up." == why(replace(run, stop_reason="max_cost"), [said])
    assert "Its own reason: bored." == why(replace(run, stop_reason="bored"), [])
    assert "It has not stopped, as far as is stored." == why(replace(run, stopped_ms=None, stop_reason=None), [])


# -- as ClickHouse answers it ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(stack: Any) -> Iterator[Filled]:
    """One that looped and was stopped; the one that it had begun; one of an older version; one unfinished."""
    made = Filled(stack.unique())
    version = {"agent_version": "2", "model": "m"}
    made.events(
        event("looped", 0, "run_start", prompt_sha="p", **version),
        event("looped", 1, tool="search", args_sha="a", result_sha="x", duration_ms=100, **version),
        event("looped", 2, tool="search", args_sha="a", result_sha="x", duration_ms=100, **version),
        event("looped", 4, tool="search", args_sha="a", status="error", error="RunStopped", stop_reason="killed",
              **version),
        event("looped", 5, "stop", stop_reason="killed", tool_calls=2, **version),
        event("child", 0, "run_start", ts_ms=2_500, parent_run_id="looped", agent="helper"),
        event("child", 1, "stop", ts_ms=9_000, parent_run_id="looped", agent="helper", stop_reason="success"),
        event("older", 0, "run_start", ts_ms=500, agent_version="1"),
        event("older", 1, "stop", ts_ms=700, agent_version="1", stop_reason="success"),
        event("going", 0, "run_start", ts_ms=20_000, **version),
    )  # fmt: skip
    sealed = {"ts_ms": 1, "agent": "support", "key_id": "k", "sealed": b"?", "payload_chars": 1, "kept_chars": 1}
    sealed |= {"truncated": False, "redactions": [], "redaction_counts": []}
    made.insert("snapshots_in", "snapshot", [{"sha": sha, "kind": "args", **sealed} for sha in ("a", "x", "other's")])
    made.anomaly("a1", run_id="looped", seqs=[1, 2], message="twice the same")
    made.command("c0", "run:looped", "stop", 4_500, by="policy:loop.repeat", why="twice the same", anomaly_id="a1")
    made.command("c1", "agent:support", "stop", 90_000_000, why="much later")
    yield made
    made.close()


@pytest.mark.stack
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({}, ["going", "child", "looped", "older"]),
        ({"agent": "support"}, ["going", "looped", "older"]),
        ({"version": "1"}, ["older"]),
        ({"model": "m"}, ["going", "looped"]),
        ({"stop_reason": "success"}, ["child", "older"]),
        ({"anomalous": True}, ["looped"]),
        ({"unfinished": True}, ["going"]),
        ({"run_id": "l"}, ["looped"]),
        ({"run_id": "o", "agent": "helper"}, []),
        ({"agent": "' OR 1 = 1 --"}, []),
        ({"run_id": "%"}, []),
    ],
)
def test_runs_by_kind(filled: Filled, kind: dict[str, Any], expected: list[str]) -> None:
    assert expected == [one.run_id for one in runs(filled.reader, RunFilter(**kind)).runs]


@pytest.mark.stack
def test_runs_page_by_page(filled: Filled) -> None:
    first = runs(filled.reader, RunFilter(), limit=2)
    assert (["going", "child"], True) == ([one.run_id for one in first.runs], first.more)
    second = runs(filled.reader, RunFilter(), limit=2, before_ms=first.runs[-1].last_ms)
    assert (["looped", "older"], False) == ([one.run_id for one in second.runs], second.more)
    assert 4 == len(runs(filled.reader, RunFilter(), limit=10 * MOST).runs)


@pytest.mark.stack
def test_what_there_is_to_choose_from(filled: Filled) -> None:
    assert RunChoices(["helper", "support"], ["1", "2"], ["killed", "success"]) == choices(filled.reader)
    assert [] == choices(filled.reader, "helper").versions


@pytest.mark.stack
def test_a_runs_story(filled: Filled) -> None:
    told = story(filled.reader, "looped")
    assert told is not None
    assert [None, None, 1, 1, None] == [one.again for one in told.steps]
    assert [0, 0, 0, 1, 0] == [one.lost_before for one in told.steps]
    assert [(0, "2", "m", "p")] == [(one.seq, one.agent_version, one.model, one.prompt_sha) for one in told.versions]
    assert "It was stopped by policy:loop.repeat: twice the same" == told.why
    assert [("run:looped", "a1")] == [(one.scope, one.anomaly_id) for one in told.commands]
    assert [("a1", [1, 2])] == [(one.anomaly_id, one.seqs) for one in told.found]
    assert (None, ["child"]) == (told.parent, [one.run_id for one in told.children])
    assert (1, 1, 2) == (told.run.missing_events, told.run.refused_calls, told.sealed)
    child = story(filled.reader, "child")
    assert child is not None
    assert child.parent is not None
    assert "looped" == child.parent.run_id


@pytest.mark.stack
def test_a_run_that_is_not_there_has_no_story(filled: Filled) -> None:
    assert story(filled.reader, "' OR 1 = 1 --") is None


@pytest.mark.stack
def test_the_mark_of_a_run_changes_with_what_is_known_of_it(filled: Filled) -> None:
    before = mark(filled.reader, "going")
    assert before == mark(filled.reader, "going")
    filled.events(event("going", 1, tool="search", ts_ms=21_000))
    with_step = mark(filled.reader, "going")
    filled.anomaly("a9", run_id="going")
    with_anomaly = mark(filled.reader, "going")
    filled.command("c9", "run:going", "allow", 1)
    assert 4 == len({before, with_step, with_anomaly, mark(filled.reader, "going")})


@pytest.mark.stack
def test_ten_thousand_steps_are_told_in_a_second_or_two(stack: Any) -> None:
    made = Filled(stack.unique())
    try:
        made.events(*(event("long", seq, tool="t", args_sha=str(seq % 7), result_sha="x") for seq in range(10_000)))
        began = time.monotonic()
        told = story(made.reader, "long")
        took = time.monotonic() - began
    finally:
        made.close()
    assert told is not None
    assert [10_000, 9_993] == [len(told.steps), sum(one.again is not None for one in told.steps)]
    assert isinstance(told.steps[0], Step)
    assert took < 5
