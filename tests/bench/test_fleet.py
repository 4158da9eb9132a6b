"""The events that are measured with are events, and loop as often as is said."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

from runwatch.bench.errors import BenchError
from runwatch.bench.fleet import FAILING, FleetShape, Plan
from runwatch.bench.messages import LAST_MS, Writer, tool_names
from runwatch.bench.peers.decoding import decode, decode_counted
from runwatch.processors.frames import Frame
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.avro import load
from runwatch.schemas.canonical import HASH_DIGITS
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.wire import decode_body, split

START_MS = 1_790_000_000_000
SHAPE = FleetShape(events=20_000, open_runs=300, loop_share=0.05)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(SHAPE)


@pytest.fixture(scope="module")
def messages(plan: Plan) -> list[tuple[bytes, bytes]]:
    return list(Writer(plan, START_MS, 1_000).messages(0, len(plan)))


@pytest.fixture(scope="module")
def events(messages: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    schema = load("agent_event")
    found = []
    for _, value in messages:
        schema_id, body = split(value)
        assert schema.schema_id == schema_id
        found.append(decode_body(body, schema))
    return found


@pytest.fixture(scope="module")
def runs(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for event in events:
        found[event["run_id"]].append(event)
    return dict(found)


def test_there_are_as_many_events_as_were_asked_for_and_the_last_run_is_whole(plan: Plan) -> None:
    assert 20_000 <= len(plan) < 20_000 + SHAPE.longest


def test_every_message_is_an_event_under_its_run_as_key(
    messages: list[tuple[bytes, bytes]], events: list[dict[str, Any]]
) -> None:
    assert [event["run_id"] for event in events] == [key.decode() for key, _ in messages]


def test_ids_are_their_own(events: list[dict[str, Any]], plan: Plan) -> None:
    assert len(events) == len({event["event_id"] for event in events})
    assert plan.runs == len({event["run_id"] for event in events})


def test_runs_begin_end_and_have_no_gaps(runs: dict[str, list[dict[str, Any]]]) -> None:
    for steps in runs.values():
        assert list(range(len(steps))) == [step["seq"] for step in steps]
        assert "run_start" == steps[0]["kind"]
        assert "stop" == steps[-1]["kind"]
        assert 3 <= len(steps) <= 60
        assert steps[-1]["stop_reason"] in {"success", "max_steps"}


def test_fields_are_those_of_their_kind(events: list[dict[str, Any]]) -> None:
    tools = set(tool_names(SHAPE.tools))
    for event in events:
        is_tool = event["kind"] == "tool_result"
        assert is_tool == (event["tool"] is not None)
        assert (event["kind"] == "stop") == (event["tool_calls"] is not None)
        assert (event["kind"] in {"model_result", "stop"}) == (event["input_tokens"] is not None)
        if is_tool:
            assert event["tool"] in tools
            assert HASH_DIGITS == len(event["args_sha"])
            assert (event["status"] == "error") == (event["result_sha"] is None) == (event["error"] is not None)


def test_time_passes_at_the_rate_that_was_asked_for(events: list[dict[str, Any]]) -> None:
    times = [round(event["ts_ms"].timestamp() * 1000) for event in events]
    assert START_MS == times[0]
    assert sorted(times) == times
    assert START_MS + len(events) - 1 == times[-1]


def test_runs_overlap(plan: Plan) -> None:
    """In any thousand events there are many runs, not one after the other."""
    assert len(np.unique(plan.run[10_000:11_000])) > 200


def test_events_are_as_large_as_real_ones(messages: list[tuple[bytes, bytes]]) -> None:
    assert 190 <= sum(len(value) for _, value in messages) / len(messages) <= 230


def test_the_looping_runs_loop_by_the_rules_and_no_other_does(plan: Plan, messages: list[tuple[bytes, bytes]]) -> None:
    watch = EventWatch(LocalRegistry(), Rules())
    values = [value for _, value in messages]
    looping: dict[str, Anomaly] = {}
    for first in range(0, len(values), 5_000):
        piece = values[first : first + 5_000]
        offsets = range(first, first + len(piece))
        for one in watch.take(Frame("agent.events", 0, piece, offsets, START_MS + first)).anomalies:
            if one.run_id is not None:
                looping.setdefault(one.run_id, one)
    writer = Writer(plan, START_MS, 1_000)
    assert writer.looping_runs == set(looping)
    assert round(plan.runs * SHAPE.loop_share) == pytest.approx(len(looping), abs=1)
    # A quarter each, or nearly.
    kinds = Counter((one.rule, one.severity) for one in looping.values())
    assert {
        ("loop.repeat", "warning"), ("loop.failing", "warning"), ("loop.cycle", "critical"), ("loop.stale", "warning"),
    } == set(kinds)  # fmt: skip
    assert max(kinds.values()) - min(kinds.values()) <= 1
    completing = {
        (writer.run_id(run), seq)
        for run, seq in zip(plan.run[plan.completes].tolist(), plan.seq[plan.completes].tolist(), strict=True)
    }
    assert {(run_id, one.seqs[-1]) for run_id, one in looping.items()} == completing


def test_a_failing_loop_fails_each_time(plan: Plan) -> None:
    failing = plan.run[plan.manner == FAILING]
    assert set(plan.looping.tolist()) >= set(failing.tolist())


def test_one_percent_of_a_short_bench_loops_too() -> None:
    plan = Plan(FleetShape(events=3_000))
    assert 1 == len(plan.looping)
    assert 1 == plan.completes.sum()


def test_the_same_seed_gives_the_same_messages(plan: Plan, messages: list[tuple[bytes, bytes]]) -> None:
    again = Writer(Plan(SHAPE), START_MS, 1_000)
    assert messages[500:700] == list(again.messages(500, 700))


def test_peers_decode_the_same(messages: list[tuple[bytes, bytes]], events: list[dict[str, Any]]) -> None:
    for (_, value), event in list(zip(messages, events, strict=True))[:200]:
        ts_ms = round(event["ts_ms"].timestamp() * 1000)
        assert {**event, "ts_ms": ts_ms} == decode(value)
        assert {"ts_ms": ts_ms, "agent": event["agent"]} == decode_counted(value)


def test_what_cannot_be_made_is_refused(plan: Plan) -> None:
    with pytest.raises(BenchError, match="3 to 60 steps"):
        FleetShape(longest=61)
    with pytest.raises(ValueError, match="event times"):
        Writer(plan, LAST_MS, 1_000)
