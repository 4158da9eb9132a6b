"""Tallies against a plain model, however the events are batched and the parts are asked for."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.windows import OTHER_TOOLS, Tally, WindowRules
from runwatch.schemas import avro

from .model import Latest, content, expected_parts
from .support import T0, columns, cut, event

RULES = WindowRules(buffer_events=7, stretch=300_000)
"""Few events are buffered, so that a test's few are grouped more than once."""
AFTERWARDS = T0 + 10**9


def filled(events: list[dict[str, Any]], log_ms: int = T0, rules: WindowRules = RULES) -> Tally:
    tally = Tally(3, rules)
    tally.add(columns(events), log_ms, len(events))
    return tally


def agents_own(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for part in parts if part["tool"] is None]


def tools(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for part in parts if part["tool"] is not None]


quarters = st.integers(-4, 400).map(lambda one: one / 4)
"""Numbers whose sums are exact in any order."""
counts = st.none() | st.integers(0, 5000)
events = st.builds(
    event,
    run=st.sampled_from("rs"),
    kind=st.sampled_from(["run_start", "tool_result", "model_result", "stop", "other"]),
    ts_ms=st.integers(T0 - 200_000, T0 + 200_000),
    agent=st.sampled_from("ab"),
    agent_version=st.sampled_from([None, "1"]),
    model=st.sampled_from([None, "m"]),
    tool=st.sampled_from([None, "t", "u"]),
    duration_ms=counts,
    status=st.sampled_from(["ok", "error"]),
    attempt=st.sampled_from([None, 1, 2]),
    http_status=st.sampled_from([None, 200, 429, 500, 599, 600]),
    stop_reason=st.sampled_from([None, "success", "max_steps", "denied", "mine"]),
    outcome=st.none() | st.sampled_from([0.0, 0.25, 1.0]),
    input_tokens=counts,
    output_tokens=counts,
    cost_usd=st.none() | quarters,
    tool_calls=counts,
)
steps = st.lists(st.tuples(st.integers(0, 90_000), events), max_size=40)
"""Events, each with how much later than the one before it was appended."""


def timed(plan: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    log_ms, out = T0, []
    for later, one in plan:
        log_ms += later
        out.append((log_ms, one))
    return out


@settings(max_examples=45)
@given(steps, st.sets(st.integers(0, 40), max_size=8), st.sets(st.integers(0, 40), max_size=5))
def test_the_latest_parts_are_the_truth_however_events_are_batched(
    plan: list[tuple[int, dict[str, Any]]], cuts: set[int], ticks: set[int]
) -> None:
    logged = timed(plan)
    # As frames are: cut at stretches of log time, and at any other place.
    ends = {at for at in range(1, len(logged)) if logged[at][0] // 300_000 != logged[at - 1][0] // 300_000}
    tally, latest, stretch_ms = Tally(3, RULES), Latest(), 0
    for start, piece in cut(logged, cuts | ends):
        log_ms = piece[-1][0]
        if log_ms // 300_000 * 300_000 > stretch_ms:
            stretch_ms = log_ms // 300_000 * 300_000
            latest.take(tally.parts(log_ms, stretch_ms))
        tally.add(columns(one for _, one in piece), log_ms, start + len(piece))
        if start in ticks:
            # The clock on the wall may be far ahead of the log that is being read.
            latest.take(tally.parts(log_ms + 10**7))
    latest.take(tally.parts(AFTERWARDS, AFTERWARDS))
    assert expected_parts(logged, RULES.length, RULES.stretch) == latest.contents
    assert 0 == tally.groups


def test_a_part_is_a_record_of_its_schema() -> None:
    schema = avro.load("window_part")
    for part in filled([event(cost_usd=0.5), event(kind="stop", seq=1)]).parts(AFTERWARDS, AFTERWARDS):
        assert set(schema.field_names) == set(part)
        fastavro.schemaless_writer(io.BytesIO(), schema.parsed, part)
        assert (3, 60_000, T0) == (part["source_partition"], part["window_ms"], part["slot_ms"])


def test_an_agents_own_part_is_sent_when_it_changed_and_only_then() -> None:
    tally = filled([event()])
    assert 1 == len(agents_own(tally.parts(T0 + 1000)))
    assert [] == tally.parts(T0 + 2000)
    tally.add(columns([event(seq=1)]), T0 + 3000, 9)
    (part,) = agents_own(tally.parts(T0 + 3000))
    assert (2, 9) == (part["events"], part["version"])


def test_versions_rise() -> None:
    tally = Tally(0, RULES)
    versions = []
    for seq in range(5):
        tally.add(columns([event(seq=seq)]), T0, 10 * seq + 1)
        versions += [part["version"] for part in agents_own(tally.parts(T0))]
    assert [1, 11, 21, 31, 41] == versions


def test_a_tools_part_waits_until_its_window_is_closed_by_the_watermark() -> None:
    tally = filled([event()])
    assert [] == tools(tally.parts(T0 + 15_000))
    # A window of a minute and ten seconds of grace.
    tally.add(columns([event(seq=1, ts_ms=T0 + 69_999)]), T0 + 20_000, 2)
    assert [] == tools(tally.parts(T0 + 26_000))
    tally.add(columns([event(seq=2, ts_ms=T0 + 70_000)]), T0 + 30_000, 3)
    (part,) = tools(tally.parts(T0 + 37_000))
    assert ("t", T0, True, 1) == (part["tool"], part["window_start_ms"], part["closed"], part["events"])


def test_an_agent_that_fell_silent_has_its_windows_closed() -> None:
    tally = filled([event()])
    (part,) = agents_own(tally.parts(T0 + 30_000))
    assert not part["closed"]
    assert ["t"] == [part["tool"] for part in tools(tally.parts(T0 + 40_001))]


def test_tools_parts_are_sent_every_so_often_at_the_most() -> None:
    tally = filled([event(), event(seq=1, ts_ms=T0 + 200_000)])
    assert 1 == len(tools(tally.parts(T0 + 1_000)))
    tally.add(columns([event(seq=2)]), T0 + 2_000, 5)
    assert [] == tools(tally.parts(T0 + 10_999))
    (part,) = tools(tally.parts(T0 + 11_000))
    assert (2, 5) == (part["events"], part["version"])


def test_a_late_event_changes_the_part_of_its_own_stretch() -> None:
    tally = filled([event()])
    first = Latest()
    first.take(tally.parts(T0 + 300_000, T0 + 300_000))
    tally.add(columns([event(seq=1)]), T0 + 300_000, 2)
    first.take(tally.parts(T0 + 300_500))
    found = {key[0]: part["events"] for key, part in first.parts.items() if part["tool"] is None}
    assert {T0: 1, T0 + 300_000: 1} == found
    assert {T0} == {part["window_start_ms"] for part in first.parts.values()}


def test_a_stretch_that_is_over_is_sent_whole_and_forgotten() -> None:
    tally = filled([event(), event(seq=1, tool="u"), event(seq=2, agent="b", kind="run_start")])
    parts = tally.parts(T0 + 300_000, T0 + 300_000)
    assert [("a", None), ("b", None), ("a", "t"), ("a", "u")] == [(part["agent"], part["tool"]) for part in parts]
    assert 0 == tally.groups
    assert [] == tally.parts(AFTERWARDS, AFTERWARDS)


def test_time_alone_ends_no_stretch() -> None:
    # Who lags an hour behind still has events of the stretch to come.
    tally = filled([event()])
    latest = Latest()
    latest.take(tally.parts(T0 + 3_600_000))
    tally.add(columns([event(seq=1)]), T0 + 1000, 2)
    latest.take(tally.parts(T0 + 3_601_000))
    (part,) = agents_own(list(latest.parts.values()))
    assert 2 == part["events"]


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_left_out_of_sums_and_sketches(cost: float) -> None:
    tally = filled(
        [
            event(kind="stop", cost_usd=cost, outcome=cost),
            event(kind="stop", seq=1, cost_usd=0.5, outcome=1.0),
            event(kind="model_result", seq=2, cost_usd=cost),
        ]
    )
    (part,) = tally.parts(AFTERWARDS)
    sums, sketches, _ = content(part)
    assert (0.5, 0.0, 1.0, 1) == (
        sums["run_cost_usd_sum"],
        sums["cost_usd"],
        sums["outcome_sum"],
        sums["outcome_count"],
    )
    assert 1 == sum(sketches["run_cost_usd"].values())


def test_tools_without_end_are_one_after_so_many() -> None:
    tally = Tally(0, WindowRules(most_tools=3))
    sent: list[dict[str, Any]] = []
    for batch in range(2):
        calls = [event(seq=10 * batch + at, tool=f"tool-{batch}-{at % 5}") for at in range(10)]
        tally.add(columns([*calls, event(seq=100 + batch, agent="b", tool="own")]), T0, 100 * (batch + 1))
        sent += tally.parts(T0)
    sent += tally.parts(T0 + 10**7, T0 + 10**7)
    held = {(part["agent"], part["tool"]): part["tool_calls"] for part in sent}
    assert {("a", None): 20, ("b", None): 2, ("b", "own"): 2} == {
        key: count for key, count in held.items() if key[1] in (None, "own")
    }
    own = {tool: count for (agent, tool), count in held.items() if agent == "a" and tool is not None}
    assert {OTHER_TOOLS: 14} == {tool: count for tool, count in own.items() if not tool.startswith("tool-0")}
    assert (4, 14) == (len(own), tally.overflowing)


def test_a_wrong_clock_closes_no_windows() -> None:
    tally = filled([event(), event(seq=1, ts_ms=253_402_300_799_999)])
    parts = tally.parts(T0 + 15_000)
    assert [(T0, T0, 2)] == [(part["window_start_ms"], part["watermark_ms"], part["events"]) for part in parts]
    assert [] == tools(parts)


def test_times_that_cannot_be_make_no_windows() -> None:
    times = [0, 1, 946_684_799_999, 4_102_444_800_000, T0 + 86_400_001]
    tally = filled([event(seq=at, ts_ms=ts_ms) for at, ts_ms in enumerate(times)])
    assert [(T0, 5)] == [(part["window_start_ms"], part["events"]) for part in tally.parts(T0)]


def test_a_history_without_log_time_keeps_its_own() -> None:
    tally = Tally(0, RULES)
    tally.add(columns([event(), event(seq=1, ts_ms=0)]), 0, 2)
    assert [0, T0] == sorted(part["window_start_ms"] for part in tally.parts(0) if part["tool"] is None)


def test_groups_are_told_apart_by_null_and_text_alike() -> None:
    versions = [None, "", "None", "null"]
    tally = filled([event(seq=at, agent_version=one, tool=None) for at, one in enumerate(versions)])
    assert [1] * 4 == [part["events"] for part in tally.parts(T0)]


def test_nothing_in_nothing_out() -> None:
    tally = Tally(0, RULES)
    tally.add(columns([]), T0, 0)
    assert [] == tally.parts(T0, T0)
