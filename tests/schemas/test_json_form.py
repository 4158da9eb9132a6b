"""Events as JSON: every wrong value gets a sentence, and every file the same events twice."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas import avro, wire
from runwatch.schemas.canonical import sha
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.ids import derived_id
from runwatch.schemas.json_form import MAX_LABELS, MAX_NAME, NotAnEvent, RunOrder, from_json, parse_line

LEAST = {"run_id": "r", "kind": "tool_result", "ts_ms": 1_700_000_000_000, "agent": "support"}
EVENT = avro.load("agent_event")


def read(**fields: Any) -> AgentEvent:
    return from_json({**LEAST, **fields}, RunOrder())


def test_the_least_event() -> None:
    assert read() == AgentEvent(derived_id("event", "r", 0), "r", 0, "tool_result", 1_700_000_000_000, "support")


def test_all_there_is_to_an_event() -> None:
    value = {
        "event_id": "e", "run_id": "r", "seq": 7, "kind": "stop", "ts_ms": 5, "agent": "a", "parent_run_id": "p",
        "agent_version": "1", "model": "m", "prompt_sha": "ps", "tools_sha": "ts", "step_id": "s", "tool": "t",
        "args_sha": "as", "result_sha": "rs", "duration_ms": 12, "status": "error", "error": "E", "attempt": 2,
        "http_status": 503, "stop_reason": "mine", "outcome": 0.5, "labels": '{"team":"x"}',
        "usage": {"tool_calls": 3, "input_tokens": 4, "output_tokens": 5, "cost_usd": 0.25},
    }  # fmt: skip
    event = from_json(value, RunOrder())
    assert event.to_json() == value
    assert (event.tool_calls, event.input_tokens, event.output_tokens, event.cost_usd) == (3, 4, 5, 0.25)


def test_null_is_the_same_as_left_out() -> None:
    empty = dict.fromkeys(EVENT.field_names) | dict.fromkeys(("usage", "args_nobody_knows"))
    assert from_json({**empty, **LEAST}, RunOrder()) == read()


def test_arguments_and_results_are_hashed_and_dropped() -> None:
    event = read(args={"url": "x"}, result=None)
    assert (sha({"url": "x"}), sha(None)) == (event.args_sha, event.result_sha)
    assert "args" not in event.to_json()


def test_a_hash_that_is_there_stays() -> None:
    assert read(args_sha="mine", args={"url": "x"}).args_sha == "mine"


def test_usage_may_stand_beside_the_other_fields() -> None:
    assert read(input_tokens=3).input_tokens == 3
    assert read(input_tokens=3, usage={"input_tokens": 4}).input_tokens == 4


def test_places_are_given_by_run() -> None:
    order = RunOrder()
    events = [from_json({**LEAST, "run_id": run}, order) for run in ("a", "b", "a", "a", "b")]
    assert [0, 0, 1, 2, 1] == [event.seq for event in events]
    assert 5 == len({event.event_id for event in events})


def test_a_place_of_its_own_is_kept() -> None:
    assert read(seq=9).seq == 9
    assert read(seq=9).event_id == derived_id("event", "r", 9)
    assert read(event_id="mine").event_id == "mine"


@pytest.mark.parametrize(
    ("value", "ts_ms"),
    [
        ("2026-03-20T18:42:45.578Z", 1_774_032_165_578),
        ("2026-03-20T19:42:45.578+01:00", 1_774_032_165_578),
        ("1970-01-01T00:00:00Z", 0),
        (1_774_032_165_578.0, 1_774_032_165_578),
        (253_402_300_799_999, 253_402_300_799_999),
    ],
)
def test_times(value: Any, ts_ms: int) -> None:
    assert ts_ms == read(ts_ms=value).ts_ms


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "not JSON (Expecting value)"),
        ("{", "not JSON (Expecting property name enclosed in double quotes)"),
        (b"\xff\xfe{", "not JSON (UnicodeDecodeError)"),
        ("[" * 200_000, "not JSON (RecursionError)"),
        ("[1]", "an event is a JSON object, and this is a list"),
        ("null", "an event is a JSON object, and this is null"),
        ("3", "an event is a JSON object, and this is a number"),
        ('"x"', "an event is a JSON object, and this is a string"),
        ("true", "an event is a JSON object, and this is a boolean"),
    ],
    ids=str,
)
def test_lines_that_are_no_event(line: str | bytes, sentence: str) -> None:
    with pytest.raises(NotAnEvent) as caught:
        parse_line(line, RunOrder())
    assert sentence == str(caught.value)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"run_id": None}, "`run_id` is missing"),
        ({"agent": None}, "`agent` is missing"),
        ({"kind": None}, "`kind` is missing"),
        ({"ts_ms": None}, "`ts_ms` is missing"),
        ({"run_id": ""}, "`run_id` is empty"),
        ({"event_id": ""}, "`event_id` is empty"),
        ({"run_id": 7}, "`run_id` is a string, and this is a number"),
        ({"tool": {}}, "`tool` is a string, and this is an object"),
        ({"tool": "x" * 1001}, "`tool` has 1,001 characters; 1,000 is the limit"),
        ({"tool": "\ud800"}, "`tool` holds half a surrogate pair, which has no UTF-8 form"),
        ({"kind": "tool"}, '`kind` is one of run_start, model_result, tool_result, stop, other, and this is "tool"'),
        (
            {"kind": ["\ud800"]},
            '`kind` is one of run_start, model_result, tool_result, stop, other, and this is ["\\ud800"]',
        ),
        ({"status": "fine"}, '`status` is one of none, ok, error, and this is "fine"'),
        ({"ts_ms": "soon"}, "`ts_ms` is milliseconds or an ISO 8601 time, and this is 'soon'"),
        ({"ts_ms": "2026-03-20T18:42:45"}, "`ts_ms` has no time zone: '2026-03-20T18:42:45'; add Z or an offset"),
        ({"ts_ms": -1}, "`ts_ms` is between 0 and 253402300799999, and this is -1"),
        ({"ts_ms": "1969-12-31T23:59:59Z"}, "`ts_ms` is between 0 and 253402300799999, and this is -1000"),
        ({"ts_ms": 1.5}, "`ts_ms` is a whole number, and this is 1.5"),
        ({"ts_ms": True}, "`ts_ms` is a whole number, and this is true"),
        ({"ts_ms": float("nan")}, "`ts_ms` is a whole number, and this is NaN"),
        ({"seq": -1}, "`seq` is between 0 and 9223372036854775807, and this is -1"),
        ({"seq": 2**63}, "`seq` is between 0 and 9223372036854775807, and this is 9223372036854775808"),
        ({"attempt": 2**31}, "`attempt` is between 0 and 2147483647, and this is 2147483648"),
        ({"duration_ms": "12"}, '`duration_ms` is a whole number, and this is "12"'),
        ({"outcome": "good"}, '`outcome` is a number, and this is "good"'),
        ({"outcome": 1.5}, "`outcome` is between 0 and 1, and this is 1.5"),
        ({"outcome": float("nan")}, "`outcome` is a number, and this is NaN"),
        ({"cost_usd": float("inf")}, "`cost_usd` is a number, and this is Infinity"),
        ({"cost_usd": True}, "`cost_usd` is a number, and this is true"),
        ({"usage": 3}, "`usage` is an object, and this is a number"),
        ({"usage": {"input_tokens": "4"}}, '`input_tokens` is a whole number, and this is "4"'),
        ({"labels": []}, "`labels` is an object, and this is a list"),
        ({"labels": "team=x"}, "`labels` is a JSON object, and this text is not JSON"),
        ({"labels": "[" * 200_000}, "`labels` is a JSON object, and this text is not JSON"),
        ({"labels": {"x": "y" * MAX_LABELS}}, "`labels` has 10,008 characters; 10,000 is the limit"),
        ({"labels": {"x": "\udfff"}}, "`labels` holds half a surrogate pair, which has no UTF-8 form"),
        ({"labels": {"x": [float("nan")]}}, "`labels` holds NaN, which JSON has no number for"),
        ({"labels": '{"x": -Infinity}'}, "`labels` holds -Infinity, which JSON has no number for"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_said_in_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NotAnEvent) as caught:
        read(**fields)
    assert sentence == str(caught.value)
    assert str(caught.value).encode()


def test_a_refused_event_takes_no_place() -> None:
    order = RunOrder()
    with pytest.raises(NotAnEvent):
        from_json({**LEAST, "outcome": 7}, order)
    assert from_json(LEAST, order).seq == 0


def test_labels_are_kept_in_one_form() -> None:
    assert read(labels={"b": 1, "a": "ü"}).labels == read(labels='{"a": "ü",  "b": 1}').labels == '{"a":"ü","b":1}'


def test_the_longest_name_is_kept() -> None:
    assert read(tool="x" * MAX_NAME).tool == "x" * MAX_NAME


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*EVENT.field_names, "usage", "args", "result"]), json_values)
    | st.fixed_dictionaries({}, optional={name: st.sampled_from(["x", 1, 0.5, {}]) for name in EVENT.field_names})
)
def test_any_object_is_an_event_that_can_be_written_or_gets_a_sentence(value: dict[str, Any]) -> None:
    try:
        event = from_json({**LEAST, **value}, RunOrder())
    except NotAnEvent as error:
        assert str(error)
    else:
        body = wire.split(wire.encode(event.to_record(), EVENT, 1))[1]
        assert event == AgentEvent.from_record(wire.decode_body(body, EVENT))
        assert event == from_json(json.loads(json.dumps(event.to_json())), RunOrder())


FILES = {"tau2": (612, 5_271), "sweagent_gpt4": (826, 8_792), "intercode": (1_326, 8_888)}
"""Runs and tool calls, as the data's README tells."""


def events_of(path: Path) -> list[AgentEvent]:
    order = RunOrder()
    with gzip.open(path, "rb") as lines:
        return [parse_line(line, order) for line in lines]


def test_the_recorded_runs_are_all_events(shared_data: Path) -> None:
    total = 0
    for name, (runs, tool_calls) in FILES.items():
        events = events_of(shared_data / f"{name}.jsonl.gz")
        total += len(events)
        assert (runs, tool_calls) == (
            len({event.run_id for event in events}),
            sum(event.kind == "tool_result" for event in events),
        )
        assert len(events) == len({event.event_id for event in events})
        assert len(events) == len({(event.run_id, event.seq) for event in events})
    assert total == 25_715


def test_a_file_read_twice_gives_the_same_events(shared_data: Path) -> None:
    path = shared_data / "tau2.jsonl.gz"
    assert events_of(path) == events_of(path)
