"""What a partition tells of the fleet: counted right, the same however it is cut, and bounded whatever comes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.fleet.merge import Child, Failing, FleetWindow, Hits
from runwatch.processors.fleet.rules import FleetRules
from runwatch.processors.fleet.sample import HASH_BITS
from runwatch.processors.fleet.tally import MOST_ROWS, MOST_WINDOWS, FleetTally
from runwatch.schemas.reasons import REFUSALS

from .fleet import AFTERWARDS, MINUTE, STRETCH, W0, call, failure, merged, start, tallied
from .support import T0, columns


def hashes(*names: str) -> list[int]:
    """Hashes of runs, smallest first."""
    return sorted(pl.Series(names).hash().to_numpy() // 2 ** (64 - HASH_BITS))


def one(events: list[dict[str, Any]], **given: Any) -> FleetWindow:
    (found,) = merged(tallied(events, **given))
    return found


def test_a_failing_call_and_its_runs() -> None:
    events = [failure("r1", 0), failure("r1", 10, 1), failure("r2", 20, agent="b", error="D"), call("r3", 30)]
    found = one(events)
    assert (W0, W0 + MINUTE) == (found.start_ms, found.end_ms)
    (key, told) = next(iter(found.failing.items()))
    assert [("t", "bad")] == list(found.failing)
    assert (("t", "bad"), 3, 3, "D") == (key, told.calls, told.failures, told.error)
    assert (hashes("r1", "r2"), {"a", "b"}) == (sorted(told.runs), set(told.runs.values()))
    assert {"r1", "r2"} == set(told.named.values())
    assert sorted(told.runs) == sorted(told.named)


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_calls_that_were_refused_fail_for_nobody(reason: str) -> None:
    refused = [failure(f"r{at}", at, error="RunStoppedTimeout", attempt=2, stop_reason=reason) for at in range(5)]
    told = one([*refused, failure("s", 50), call("u", 60)])
    assert [1] == [hit.failures for hit in told.failing.values()]
    assert [("t", 2, 0, 0)] == [
        (tool, told.retries[tool].calls, told.retries[tool].hits, told.timeouts[tool].hits) for tool in told.retries
    ]


def test_a_call_with_a_reason_of_its_own_was_made() -> None:
    told = one([failure("r", 0), failure("s", 10, stop_reason="mine")])
    assert [2] == [failing.failures for failing in told.failing.values()]


def test_how_often_a_call_worked_counts_from_its_first_failure() -> None:
    works = {"args_sha": "bad"}
    before = [call(f"b{number}", number, **works) for number in range(5)]
    after = [call(f"a{number}", 100 + number, **works) for number in range(3)]
    events = [*before, failure("r", 50), *after]
    for cuts in ([], [3], [5], [6], list(range(9))):
        told = one(events, cuts=cuts).failing["t", "bad"]
        assert (4, 1) == (told.calls, told.failures)


def test_a_call_that_failed_in_the_stretch_before_is_known_in_the_next() -> None:
    tally = FleetTally(0, FleetRules(), STRETCH)
    tally.add(columns([failure("r", 0)]), T0, 1)
    tally.parts(T0, over_ms=T0 + STRETCH)
    tally.add(columns([call("s", STRETCH, args_sha="bad"), failure("s", STRETCH + 1, 1)]), T0 + STRETCH, 3)
    parts = tally.parts(T0, over_ms=T0 + 2 * STRETCH)
    assert [(2, 1)] == [(part["calls"], part["errors"]) for part in parts if part["args_sha"]]
    # Two stretches on, nobody remembers.
    tally.parts(T0, over_ms=T0 + 3 * STRETCH)
    tally.add(columns([call("u", 3 * STRETCH, args_sha="none")]), T0 + 3 * STRETCH, 4)
    tally.parts(T0, over_ms=T0 + 4 * STRETCH)
    tally.add(columns([call("u", 4 * STRETCH, 1, args_sha="bad")]), T0 + 4 * STRETCH, 5)
    assert [None, None] == [part["args_sha"] for part in tally.parts(T0, over_ms=T0 + 5 * STRETCH)]


@pytest.mark.parametrize(
    ("given", "retries", "timeouts"),
    [
        ({}, 0, 0),
        ({"attempt": 1}, 0, 0),
        ({"attempt": 2}, 1, 0),
        ({"http_status": 429}, 1, 0),
        ({"http_status": 503}, 1, 0),
        ({"http_status": 404, "status": "error", "error": "NotFound"}, 0, 0),
        ({"http_status": 504, "status": "error"}, 1, 1),
        ({"http_status": 408, "status": "error"}, 0, 1),
        ({"status": "error", "error": "ReadTimeout"}, 0, 1),
        ({"status": "error", "error": "DeadlineExceeded"}, 0, 1),
        ({"status": "ok", "error": "ReadTimeout"}, 0, 0),
        ({"status": "error", "error": None}, 0, 0),
    ],
)
def test_what_a_retry_and_a_time_out_is(given: dict[str, Any], retries: int, timeouts: int) -> None:
    found = one([call("r", 0, **given), call("s", 1)])
    hit = {name: hashes("r") if count else [] for name, count in (("retries", retries), ("timeouts", timeouts))}
    assert (2, retries, hit["retries"]) == (*_counts(found.retries["t"]), sorted(found.retries["t"].runs))
    assert (2, timeouts, hit["timeouts"]) == (*_counts(found.timeouts["t"]), sorted(found.timeouts["t"].runs))


def _counts(found: Hits) -> tuple[int, int]:
    return found.calls, found.hits


def test_arguments_that_nobody_hashed_are_the_same_as_none() -> None:
    assert {} == one([failure("r", 0, args_sha=None), failure("s", 1, args_sha=None)]).failing


def test_runs_with_a_parent() -> None:
    events = [start("b", "a", 5, "x"), start("a", None, 0, "y"), call("b", 6)]
    assert (Child("b", "a", "x", T0 + 5),) == one(events).children


def test_many_children_go_out_in_pieces_of_which_only_the_last_is_sent_again() -> None:
    tally = FleetTally(0, FleetRules(), STRETCH)
    tally.add(columns([start(f"r{number}", "a", number, "x") for number in range(2500)]), T0, 2500)
    over = W0 + MINUTE + FleetRules().grace
    first = tally.parts(over)
    assert [(0, 1000), (1, 1000), (2, 500)] == [(part["piece"], len(part["child_runs"])) for part in first]
    tally.add(columns([start("late", "a", 2600, "x")]), T0, 2501)
    again = tally.parts(over)
    assert [(2, 501)] == [(part["piece"], len(part["child_runs"])) for part in again]
    assert 2501 == len(merged([*first, *again])[0].children)


def test_a_window_is_sent_when_it_is_over_and_again_when_it_changed() -> None:
    tally = FleetTally(3, FleetRules(), STRETCH)
    late = W0 + MINUTE - T0 + FleetRules().grace
    tally.add(columns([call("r", 0)]), T0 + late, 1)
    assert [] == tally.parts(T0 + late)
    tally.add(columns([call("r", late, 1)]), T0 + late, 2)
    parts = tally.parts(T0 + late)
    assert [(None, 2, T0 + late), ("t", 2, T0 + late)] == [
        (part["tool"], part["version"], part["watermark_ms"]) for part in parts
    ]
    assert [] == tally.parts(T0 + late)
    tally.add(columns([call("s", 1)]), T0 + late, 3)
    assert [(None, 0), ("t", 2)] == [(part["tool"], part["calls"]) for part in tally.parts(T0 + late)]


def test_where_nothing_comes_time_goes_on_as_the_logs_does() -> None:
    tally = FleetTally(0, FleetRules(), STRETCH)
    log = T0 + 5000
    tally.add(columns([call("r", 0)]), log, 1)
    tally.parts(log)
    through = W0 + MINUTE + FleetRules().grace - T0
    assert [] == tally.parts(log + through - 1)
    parts = tally.parts(log + through)
    assert [(None, W0, T0 + through), ("t", W0, T0 + through)] == [
        (part["tool"], part["window_start_ms"], part["watermark_ms"]) for part in parts
    ]
    # It is told once of a window in which nothing happened, and not for ever.
    empty = [part for later in range(0, 10 * MINUTE, 1000) for part in tally.parts(log + through + later)]
    assert [W0 + MINUTE] == [part["window_start_ms"] for part in empty]


def test_a_clock_that_is_ahead_moves_the_watermark_hardly_ahead_of_the_log() -> None:
    tally = FleetTally(0, FleetRules(), STRETCH)
    tally.add(columns([call("r", 10**9), call("r", 0, 1)]), T0, 2)
    assert {T0 + FleetRules().skew} == {part["watermark_ms"] for part in tally.parts(T0, over_ms=T0 + STRETCH)}


# -- whatever the cuts --------------------------------------------------------------------------------

_events = st.lists(
    st.builds(
        lambda run, at, kind, args, attempt: (
            start(f"r{run}", f"r{run - 1}", at, f"a{run % 2}")
            if kind == "start"
            else (failure if kind == "bad" else call)(
                f"r{run}", at, args_sha=args, attempt=attempt, agent=f"a{run % 2}", tool=f"t{run % 3 and 1}"
            )
        ),
        st.integers(0, 9),
        st.integers(0, 3 * MINUTE),
        st.sampled_from(["good", "bad", "bad", "start"]),
        st.sampled_from(["x", "y", None]),
        st.sampled_from([None, 1, 2]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60)
@given(_events, st.sets(st.integers(0, 40)), st.sampled_from([1, 7, 65_536]))
def test_frames_change_nothing(events: list[dict[str, Any]], cuts: set[int], buffer: int) -> None:
    rules = FleetRules(buffer_events=buffer)
    assert merged(tallied(events)) == merged(tallied(events, rules, cuts=sorted(cuts)))


@settings(max_examples=60)
@given(_events, st.sets(st.integers(0, 40)), st.data())
def test_parts_on_the_way_and_their_order_change_nothing(
    events: list[dict[str, Any]], ticks: set[int], data: st.DataObject
) -> None:
    tally, parts = FleetTally(0, FleetRules(), STRETCH), []
    for at, one_event in enumerate(events):
        tally.add(columns([one_event]), T0, at + 1)
        if at in ticks:
            # By a clock that finds everybody silent.
            parts += tally.parts(T0 + STRETCH)
    parts += tally.parts(T0, over_ms=T0 + STRETCH)
    found = merged(data.draw(st.permutations(parts)))
    # Windows in which nothing happened are told while somebody waits for them.
    empty = {one.start_ms for one in found} - {_window(one) for one in events}
    assert merged(tallied(events)) == [one for one in found if one.start_ms not in empty]
    assert all(one == FleetWindow(one.start_ms, one.end_ms) for one in found if one.start_ms in empty)


def _window(event: dict[str, Any]) -> int:
    return int(event["ts_ms"]) // MINUTE * MINUTE


@settings(max_examples=60)
@given(_events, st.integers(1, 4))
def test_partitions_change_nothing(events: list[dict[str, Any]], partitions: int) -> None:
    spread = [
        part
        for number in range(partitions)
        for part in tallied(
            [one_event for one_event in events if int(one_event["run_id"][1:]) % partitions == number],
            partition=number,
        )
    ]
    assert _apart_from_what_worked(merged(tallied(events))) == _apart_from_what_worked(merged(spread))


def _apart_from_what_worked(windows: list[FleetWindow]) -> list[FleetWindow]:
    """How often a call worked counts from its first failure in a partition."""

    def failures(one: Failing) -> Failing:
        return replace(one, calls=0)

    return [
        replace(one, failing={key: failures(told) for key, told in one.failing.items() if told.failures})
        for one in windows
    ]


# -- whatever comes -----------------------------------------------------------------------------------


def many(count: int, first: int = 0, **given: Any) -> pl.DataFrame:
    """So many failing calls, each of a run, a tool and arguments of its own."""
    names = pl.Series([str(number) for number in range(first, first + count)])
    base = {"kind": "tool_result", "agent": "a", "status": "error", "ts_ms": T0}
    each = {"run_id": names, "tool": "t" + names, "args_sha": names}
    rows = pl.DataFrame({**dict.fromkeys(_SCHEMA), **base, **each, **given})
    return rows.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items())


_SCHEMA = columns([call("r", 0)]).schema


def test_a_million_tools_do_not_outgrow_it() -> None:
    rules = FleetRules(most_tools=50, most_calls=20)
    tally = FleetTally(0, rules, STRETCH)
    most = 0
    storm = [failure(f"storm-{number}", 1, tool="storm") for number in range(40)]
    for piece in range(16):
        if piece in (3, 9):
            tally.add(columns(storm[:20] if piece == 3 else storm[20:]), T0, piece)
        tally.add(many(65_536, piece * 65_536), T0, piece)
        most = max(most, tally.rows)
    assert most <= 2 * (2 * MOST_ROWS + 4 * MOST_ROWS)
    parts = tally.parts(T0, over_ms=T0 + STRETCH)
    assert len(parts) <= 1 + 50 + 20
    # What many runs met is not lost in it.
    (told,) = [part for part in parts if part["tool"] == "storm" and part["args_sha"]]
    assert (40, 40) == (told["errors"], len(told["runs"]))
    assert 0 == tally.rows


def test_clocks_that_jump_do_not_outgrow_it() -> None:
    tally = FleetTally(0, FleetRules(), STRETCH)
    times = pl.Series([T0 + number * MINUTE for number in range(30_000)])
    tally.add(many(30_000, ts_ms=times), T0, 1)
    tally.parts(T0)
    assert len(tally.parts(AFTERWARDS)) <= MOST_WINDOWS * 3


def test_no_more_children_than_may_be() -> None:
    found = one([start(f"r{number}", "a", 0, "x") for number in range(30)], rules=FleetRules(most_edges=20))
    assert 20 == len(found.children)
