"""The fleet's questions: spans, bands, and answers on the real ClickHouse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from runwatch.console.ask.cells import Asked, Frontier, frontier, totals
from runwatch.console.ask.fleet import (
    MEASURES,
    OTHER,
    Choices,
    Filter,
    Span,
    agents,
    choices,
    fleet_by,
    fleet_series,
    newest_ms,
    step_ms,
)
from runwatch.console.ask.span import DAY_MS, FIVE_MS, HOUR_MS, LENGTHS_MS, MINUTE_MS, Dimension
from runwatch.console.ask.usual import KEPT_S, band_of, is_weekend, levels_before, usual
from runwatch.sinks.query import Reader
from runwatch.sinks.rollup import roll_up

from ..window_parts import Tables, part, sketch

# A Wednesday, noon.
NOON_MS = 1_790_164_800_000
assert NOON_MS % DAY_MS == 12 * HOUR_MS


def test_a_chart_has_neither_few_points_nor_many() -> None:
    points = {name: length // step_ms(Span.last(name, NOON_MS)) for name, length in LENGTHS_MS.items()}
    assert {"15m": 15, "1h": 60, "6h": 72, "24h": 144, "7d": 168, "30d": 180} == points
    assert 200 >= LENGTHS_MS["30d"] * 12 // step_ms(Span(0, LENGTHS_MS["30d"] * 12)) >= 60


def test_a_span_that_nobody_knows_is_refused() -> None:
    assert Span(NOON_MS - HOUR_MS, NOON_MS) == Span.last("1h", NOON_MS)
    with pytest.raises(ValueError, match="15m, 1h, 6h, 24h, 7d, 30d, and this is '2h'"):
        Span.last("2h", NOON_MS)


def test_an_hour_is_held_against_the_same_kind_of_day_where_enough_know_it() -> None:
    by_day = {NOON_MS - days * DAY_MS: float(days) for days in range(1, 12)}
    weekdays = [days for days in range(1, 12) if not is_weekend(NOON_MS - days * DAY_MS)]
    assert [1, 2, 5, 6, 7, 8, 9] == weekdays
    assert [float(days) for days in weekdays] == levels_before(NOON_MS, by_day)
    few = {at: level for at, level in by_day.items() if level <= 3}
    assert [1.0, 2.0, 3.0] == levels_before(NOON_MS, few)
    assert [] == levels_before(NOON_MS + HOUR_MS, by_day)


def test_a_band_is_the_median_and_the_spread_about_it() -> None:
    low, middle, high = band_of("tokens", [10, 12, 11, 14, 100]) or (0, 0, 0)
    assert (12, 2 * 1.4826 * 2) == (middle, pytest.approx(high - middle))
    assert low == pytest.approx(12 - 2 * 1.4826 * 2)
    assert (pytest.approx(9.5), 10, pytest.approx(10.5)) == band_of("tokens", [10, 10, 10])
    assert 1.0 == (band_of("success", [0.99, 0.9, 0.95]) or (0, 0, 0))[2]
    assert 0.0 == (band_of("tokens", [0, 1, 9, 0.1]) or (1, 0, 0))[0]
    assert band_of("tokens", [1, 2]) is None


# -- the real server ---------------------------------------------------------------------------------


@pytest.fixture
def tables(stack: Any) -> Iterator[Tables]:
    made = Tables(stack.unique())
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_tables(stack: Any) -> Iterator[Tables]:
    """For a property, whose examples share their fixtures."""
    made = Tables(stack.unique())
    yield made
    made.close()


@pytest.fixture
def reader(tables: Tables) -> Reader:
    return Reader(tables.settings, tables.client)


def own(at_ms: int, runs: int = 4, calls: int = 40, **fields: Any) -> dict[str, Any]:
    """An agent's own part of a minute: so many runs of ten calls, each of two seconds; one in four fails."""
    run_keys, run_counts = sketch([10.0] * runs)
    ms_keys, ms_counts = sketch([2000.0] * runs)
    return part(
        window_start_ms=at_ms, slot_ms=at_ms // FIVE_MS * FIVE_MS, watermark_ms=at_ms + 59_000, version=1, closed=True,
        events=4 * calls, runs_started=runs, runs_stopped=runs, successes=runs - runs // 4, model_calls=calls,
        tool_calls=calls, tool_errors=calls // 10, retries=calls // 20, input_tokens=100 * calls,
        output_tokens=10 * calls, cost_usd=calls / 100, run_tool_calls_sum=10 * runs, run_ms_sum=2000 * runs,
        run_cost_usd_sum=calls / 100, run_tool_calls_keys=run_keys, run_tool_calls_counts=run_counts,
        run_ms_keys=ms_keys, run_ms_counts=ms_counts,
        stop_reasons=["success", "killed"], stop_reason_counts=[runs - runs // 4, runs // 4],
    ) | fields  # fmt: skip


def of_tool(at_ms: int, tool: str, calls: int = 20, took_ms: float = 300.0, **fields: Any) -> dict[str, Any]:
    keys, counts = sketch([took_ms] * calls)
    return part(
        window_start_ms=at_ms, slot_ms=at_ms // FIVE_MS * FIVE_MS, version=1, events=calls, tool=tool, tool_calls=calls,
        tool_errors=calls // 10, retries=calls // 20, call_ms_keys=keys, call_ms_counts=counts,
    ) | fields  # fmt: skip


@pytest.mark.stack
def test_lines_say_what_happened_zero_where_nothing_did_and_nothing_of_before(tables: Tables, reader: Reader) -> None:
    at = NOON_MS - 30 * MINUTE_MS
    tables.put_parts([own(at), own(at + 2 * MINUTE_MS, runs=8, calls=80)])
    found = fleet_series(reader, Span.last("1h", NOON_MS), Filter())
    assert (60, MINUTE_MS, at) == (len(found.starts_ms), found.step_ms, found.stored_from_ms)
    place = found.starts_ms.index(at)
    assert [None, 4.0, 0.0, 8.0, 0.0] == found.lines["runs"][place - 1 : place + 4]
    assert [None, 10.0, None, 10.0, None] == found.lines["tool_calls_mean"][place - 1 : place + 4]
    now = {name: values[place] for name, values in found.lines.items()}
    assert {
        "runs": 4.0, "tool_calls": 40.0, "tool_calls_mean": 10.0, "tool_calls_p95": pytest.approx(10, rel=0.01),
        "tokens": 4400.0, "tokens_per_request": 110.0, "spend": pytest.approx(0.4),
        "latency_p95_ms": pytest.approx(2000, rel=0.01), "call_latency_p95_ms": None, "retries": 0.05, "errors": 0.1,
        "success": 0.75,
    } == now  # fmt: skip
    assert ["success", "killed"] == list(found.stop_reasons)
    assert [3, 0, 6] == found.stop_reasons["success"][place : place + 3]
    assert {} == found.baseline


@pytest.mark.stack
def test_an_empty_store_knows_nothing(reader: Reader) -> None:
    for name in LENGTHS_MS:
        found = fleet_series(reader, Span.last(name, NOON_MS), Filter())
        assert {None} == {value for values in found.lines.values() for value in values}
        assert ({}, {}, None) == (found.stop_reasons, found.baseline, found.stored_from_ms)
    span = Span.last("24h", NOON_MS)
    assert ([], Choices([], [], [], [])) == (agents(reader, span, Filter()), choices(reader, span))
    assert [] == fleet_by(reader, span, Filter(), "agent", "runs")
    assert newest_ms(reader) is None


@pytest.mark.stack
def test_what_has_only_begun_is_not_told_by_the_minute(tables: Tables, reader: Reader) -> None:
    tables.put_parts([own(NOON_MS - MINUTE_MS), own(NOON_MS)])
    runs = fleet_series(reader, Span.last("15m", NOON_MS + 10_000), Filter()).lines["runs"]
    assert [4.0, None] == runs[-2:]
    runs = fleet_series(reader, Span.last("15m", NOON_MS + 30_000), Filter()).lines["runs"]
    assert [4.0, 8.0] == runs[-2:]


@pytest.mark.stack
def test_a_tool_has_its_own_lines_only(tables: Tables, reader: Reader) -> None:
    at = NOON_MS - 10 * MINUTE_MS
    tables.put_parts([own(at), of_tool(at, "a"), of_tool(at, "b", 60, 900.0), of_tool(at, "", 2)])
    span = Span.last("1h", NOON_MS)
    found = fleet_series(reader, span, Filter(tool="b"))
    place = found.starts_ms.index(at)
    known = {name: values[place] for name, values in found.lines.items() if values[place] is not None}
    assert {
        "tool_calls": 60.0, "call_latency_p95_ms": pytest.approx(900, rel=0.01), "retries": 0.05, "errors": 0.1,
    } == known  # fmt: skip
    lines = fleet_by(reader, span, Filter(), "tool", "call_latency_p95_ms")
    assert [("b", 60), ("a", 20), ("", 2)] == [(line.name, line.weight) for line in lines]
    assert pytest.approx(300, rel=0.01) == lines[1].values[place]
    assert ["b", "a"] == [line.name for line in fleet_by(reader, span, Filter(), "tool", "errors", top=2)]
    assert [] == fleet_by(reader, span, Filter(), "tool", "runs")
    assert [] == fleet_by(reader, span, Filter(tool="a"), "agent", "spend")
    with pytest.raises(ValueError, match="no 'speed' by 'tool'"):
        fleet_by(reader, span, Filter(), "tool", "speed")


HOSTILE = "'; DROP TABLE events_stored --\n<script>\\" + "x" * 10_000


@pytest.mark.stack
def test_names_are_names_whatever_they_are_made_of(tables: Tables, reader: Reader) -> None:
    at = NOON_MS - 3 * HOUR_MS
    tables.put_parts([own(at, agent=HOSTILE, agent_version=HOSTILE, model=HOSTILE), own(at, agent="a")])
    tables.put_parts([of_tool(at, HOSTILE, agent=HOSTILE, agent_version=HOSTILE, model=HOSTILE)])
    roll_up(tables.client, tables.settings)
    span = Span.last("24h", NOON_MS)
    seen = choices(reader, span)
    assert ({HOSTILE, "a"}, [HOSTILE], [HOSTILE], [HOSTILE]) == (
        {*seen.agents}, seen.versions, seen.models, seen.tools,
    )  # fmt: skip
    for only in (Filter(agent=HOSTILE), Filter(HOSTILE, HOSTILE, HOSTILE)):
        assert 4.0 == pytest.approx(10 * max(value or 0 for value in fleet_series(reader, span, only).lines["runs"]))
    assert [HOSTILE, "a"] == sorted(line.name for line in fleet_by(reader, span, Filter(), "agent", "runs"))
    assert {HOSTILE, "(none)"} == {line.name for line in fleet_by(reader, span, Filter(), "version", "runs")}
    assert 2.0 == max(
        value or 0 for value in fleet_series(reader, span, Filter(HOSTILE, tool=HOSTILE)).lines["tool_calls"]
    )


@pytest.mark.stack
def test_agents_in_most_trouble_come_first(tables: Tables, reader: Reader) -> None:
    def episode(name: str, agent: str, severity: str, state: str = "open") -> dict[str, Any]:
        return {
            "anomaly_id": name, "rule": "drift.errors", "state": state, "severity": severity, "ts_ms": NOON_MS,
            "onset_ms": NOON_MS, "agent": agent, "agent_version": None, "model": None, "run_id": None, "step_id": None,
            "tool": None, "value": 1.0, "baseline": None, "period": None, "seqs": [], "message": "m",
            "source_partition": None, "source_offset": None, "detected_ms": NOON_MS,
        }  # fmt: skip

    at = NOON_MS - 20 * MINUTE_MS
    week = [own(at - days * DAY_MS, agent=name) for days in range(1, 6) for name in ("far", "calm", "warned")]
    tables.put_parts([*week, own(at, agent="calm"), own(at, agent="warned", agent_version="2"), own(at, agent="new")])
    tables.put_parts([own(at, agent="far", run_cost_usd_sum=1.2), own(at, agent="warned", agent_version="1")])
    tables.put("anomalies_in", [episode("1", "silent", "warning"), episode("1", "silent", "critical", "escalated")])
    tables.put("anomalies_in", [episode("2", "warned", "warning"), episode("3", "calm", "critical")])
    tables.put("anomalies_in", [episode("3", "calm", "critical", "resolved"), episode("4", "*", "critical")])
    roll_up(tables.client, tables.settings)
    rows = agents(reader, Span.last("1h", NOON_MS), Filter())
    assert ["silent", "warned", "far", "calm", "new"] == [row.agent for row in rows]
    assert [0, 1, 2, 3, 4] == [row.trouble for row in rows]
    silent, warned, far, calm, new = rows
    assert (1, "critical", 0, [], NOON_MS, None, None) == (
        silent.incidents, silent.severity, silent.runs, silent.versions, silent.last_seen_ms, silent.tool_calls_mean,
        silent.stop_reason,
    )  # fmt: skip
    assert (1, "warning", ["1", "2"], 8, "success") == (
        warned.incidents, warned.severity, warned.versions, warned.runs, warned.stop_reason,
    )  # fmt: skip
    assert (pytest.approx(3.0), 1.0, 1.0) == (far.distance, calm.distance, new.distance)
    assert (0, None, at + 59_000, 4400, pytest.approx(0.4)) == (
        calm.incidents, calm.severity, calm.last_seen_ms, calm.tokens, calm.spend,
    )  # fmt: skip
    assert ["calm"] == [row.agent for row in agents(reader, Span.last("1h", NOON_MS), Filter(agent="calm"))]
    assert ["warned"] == [row.agent for row in agents(reader, Span.last("1h", NOON_MS), Filter(version="2"))]


@pytest.mark.stack
def test_the_band_is_that_of_the_hour_on_the_days_before(tables: Tables) -> None:
    # One part an hour of 60 windows' runs: a rate of one a minute at 11, of two at 10.
    days = [own(NOON_MS - HOUR_MS - days * DAY_MS, runs=60) for days in range(1, 9)]
    days += [own(NOON_MS - 2 * HOUR_MS - days * DAY_MS, runs=120) for days in range(1, 9)]
    tables.put_parts([*days, own(NOON_MS - 30 * MINUTE_MS)])
    for rolled in (False, True):
        if rolled:
            roll_up(tables.client, tables.settings)
        # A new reader remembers nothing.
        reader = Reader(tables.settings, tables.client)
        found = fleet_series(reader, Span.last("6h", NOON_MS), Filter())
        band = found.baseline["runs"]
        by_hour = {start // HOUR_MS % 24: value for start, value in zip(found.starts_ms, band.middle, strict=True)}
        assert {6: None, 7: None, 8: None, 9: None, 10: 2.0, 11: 1.0} == by_hour
        assert (pytest.approx(0.95), pytest.approx(1.05)) == (band.low[-1], band.high[-1])
        assert 0.75 == found.baseline["success"].middle[-1]
        assert found.lines.keys() >= found.baseline.keys()


@pytest.mark.stack
def test_what_is_usual_is_not_asked_every_second_and_not_kept_for_long(tables: Tables, reader: Reader) -> None:
    now_s = 0.0
    starts = [NOON_MS - HOUR_MS]

    def middle() -> list[float | None]:
        known = frontier(reader, NOON_MS)
        found = usual(reader, starts, MINUTE_MS, {}, known, clock=lambda: now_s)
        return found["runs"].middle if found else []

    assert [] == middle()
    tables.put_parts([own(NOON_MS - HOUR_MS - days * DAY_MS, runs=60) for days in range(1, 5)])
    now_s = KEPT_S - 1
    assert [] == middle()
    now_s = KEPT_S + 1
    assert [1.0] == middle()


@pytest.mark.stack
def test_reasons_beyond_the_most_frequent_are_one(tables: Tables, reader: Reader) -> None:
    reasons = [f"reason {n:02}" for n in range(20)]
    tables.put_parts([own(NOON_MS - MINUTE_MS, stop_reasons=reasons, stop_reason_counts=list(range(20, 0, -1)))])
    found = fleet_series(reader, Span.last("15m", NOON_MS), Filter()).stop_reasons
    assert [*reasons[:11], OTHER] == list(found)
    assert sum(range(1, 10)) == found[OTHER][-1]


@pytest.mark.stack
def test_what_is_newer_than_the_sums_is_there_at_once(tables: Tables, reader: Reader) -> None:
    tables.put_parts([own(NOON_MS - minutes * MINUTE_MS) for minutes in range(120, 5, -1)])
    roll_up(tables.client, tables.settings)
    span = Span.last("24h", NOON_MS)

    def runs() -> int:
        lines = fleet_series(reader, span, Filter()).lines["runs"]
        return round(sum(10 * value for value in lines if value))

    assert 4 * 115 == runs()
    tables.put_parts([own(NOON_MS - minutes * MINUTE_MS) for minutes in range(5, 0, -1)])
    assert 4 * 120 == runs()
    # Of the last minutes before the sums too, which came late.
    tables.put_parts([own(NOON_MS - 8 * MINUTE_MS, source_partition=1)])
    assert 4 * 121 == runs()
    assert newest_ms(reader) is not None


def some_parts() -> st.SearchStrategy[list[dict[str, Any]]]:
    names = st.sampled_from(["a", "b"])

    def make(hours_ago: float, agent: str, version: str | None, tool: str | None, calls: int) -> dict[str, Any]:
        at = math.floor((NOON_MS - hours_ago * HOUR_MS) / MINUTE_MS) * MINUTE_MS
        named = {"agent": agent, "agent_version": version, "model": agent + "m"}
        made = own(at, calls, calls) if tool is None else of_tool(at, tool, calls)
        return made | named

    one = st.builds(make, st.floats(0.02, 40), names, st.none() | names, st.none() | names, st.integers(1, 9))
    return st.lists(one, min_size=1, max_size=20)


@pytest.mark.stack
@hypothesis_settings(max_examples=10)
@given(
    parts=some_parts(),
    rolled=st.integers(0, 20),
    only=st.dictionaries(st.sampled_from(["agent", "version", "model", "tool"]), st.sampled_from(["a", "am"])),
    split=st.none() | st.sampled_from(["agent", "version", "tool"]),
    span=st.sampled_from([6 * HOUR_MS, 24 * HOUR_MS, 40 * HOUR_MS]),
    step=st.sampled_from([0, FIVE_MS, HOUR_MS, 4 * HOUR_MS]),
)
def test_from_sums_and_parts_together_comes_what_the_parts_alone_say(
    shared_tables: Tables, parts: list[dict[str, Any]], rolled: int, only: dict[Dimension, str],
    split: Dimension | None, span: int, step: int,
) -> None:  # fmt: skip
    tables = shared_tables
    for table in ("window_parts", "five_minutes", "hours", "fleet_hours", "rolled"):
        tables.client.command(f"TRUNCATE TABLE {table}_stored")
    for first, last in pairwise((0, min(rolled, len(parts)), len(parts))):
        tables.put_parts(parts[first:last])
        if not first and last:
            # What comes later is newer than what is summed up, or comes with the next time.
            roll_up(tables.client, tables.settings)
    roll_up(tables.client, tables.settings)
    reader = Reader(tables.settings, tables.client)
    asked = Asked((NOON_MS - span) // max(step, 1) * max(step, 1), NOON_MS, step, only, split, reasons=True)
    known = frontier(reader, NOON_MS)

    def rows(live: Frontier) -> list[dict[str, Any]]:
        found = totals(reader, asked, live)
        return sorted(found, key=lambda row: (row["start_ms"], row["name"] or ""))

    assert rows(Frontier(0, known.since_ms)) == [
        {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in rows(known)
    ]


def test_every_measure_is_a_line_of_its_own() -> None:
    assert {
        "runs", "tool_calls", "tool_calls_mean", "tool_calls_p95", "tokens", "tokens_per_request", "spend",
        "latency_p95_ms", "call_latency_p95_ms", "retries", "errors", "success",
    } == set(MEASURES)  # fmt: skip
