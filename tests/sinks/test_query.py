"""Reading back what was stored: runs, a run's story, anomalies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from runwatch.clickhouse import StoreRefused
from runwatch.schemas.anomalies import REPORT_FIELDS
from runwatch.schemas.avro import AvroSchema, load
from runwatch.sinks.query import Reader, _versions

Make = Callable[..., Any]


def version(seq: int, **fields: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("agent", "agent_version", "model", "prompt_sha", "tools_sha"))
    return {"seq": seq, **empty, **fields}


def test_versions_are_told_when_they_change() -> None:
    events = [
        version(0, agent="a", agent_version="1", prompt_sha="p"),
        version(1, agent="a", model="m"),
        version(2, agent="a", model="m"),
        version(3, agent="a", model="n"),
        version(4, agent="a", model="n", agent_version="1"),
        version(5, agent="a", model="m"),
    ]
    whole = {"agent": "a", "agent_version": "1", "prompt_sha": "p", "tools_sha": None}
    assert [
        {"seq": 0, **whole, "model": "m"},
        {"seq": 3, **whole, "model": "n"},
        {"seq": 5, **whole, "model": "m"},
    ] == _versions(events)


def test_no_events_no_versions() -> None:
    assert [] == _versions([])


@pytest.fixture
def reader(store: Any) -> Iterator[Reader]:
    made = Reader(store.settings)
    yield made
    made.close()


@pytest.mark.stack
def test_a_runs_story_answers_the_five_questions(
    store: Any, reader: Reader, event_schema: AvroSchema, an_event: Make
) -> None:
    events = [
        an_event(seq=0, kind="run_start", prompt_sha="p", tools_sha="t", agent_version="1"),
        an_event(seq=1, kind="model_result", model="m"),
        an_event(seq=2, tool="search", args_sha="aa", result_sha="ra", status="ok"),
        an_event(seq=3, tool="fetch", args_sha="bb", result_sha="rb", status="error", error="Timeout"),
        an_event(seq=4, kind="stop", stop_reason="tool_timeout"),
    ]
    # Out of order, and twice.
    store.insert("events_in", event_schema, events[::-1])
    store.insert("events_in", event_schema, events, first=50)
    story = reader.show("r1")
    assert story is not None
    assert [("search", "aa", "ra"), ("fetch", "bb", "rb")] == [
        (call["tool"], call["args_sha"], call["result_sha"]) for call in story.calls
    ]
    assert [("1", "m", "p", "t")] == [
        (each["agent_version"], each["model"], each["prompt_sha"], each["tools_sha"]) for each in story.versions
    ]
    assert story.stop is not None
    assert story.stop["stop_reason"] == "tool_timeout"
    assert [0, 1, 2, 3, 4] == [event["seq"] for event in story.events]
    assert datetime.fromtimestamp(1.0, UTC) == story.events[0]["ts"]
    assert story.run["tool_errors"] == 1


@pytest.mark.stack
def test_a_run_that_is_not_there_is_none(reader: Reader) -> None:
    assert reader.show("no such run' OR 1 = 1 --") is None


@pytest.mark.stack
def test_runs_are_listed_newest_first_and_by_kind(
    store: Any, reader: Reader, event_schema: AvroSchema, an_event: Make
) -> None:
    def run(name: str, ts_ms: int, **of_stop: Any) -> list[dict[str, Any]]:
        steps = [an_event(run_id=name, event_id=f"{name}0", seq=0, ts_ms=ts_ms, agent=of_stop.pop("agent", "support"))]
        if of_stop:
            steps.append(an_event(run_id=name, event_id=f"{name}1", seq=1, kind="stop", ts_ms=ts_ms, **of_stop))
        return steps

    assert reader.runs() == []
    store.insert(
        "events_in",
        event_schema,
        [
            *run("old", 1000, stop_reason="success"),
            *run("new", 9000, stop_reason="max_steps"),
            *run("open", 5000),
            *run("other", 7000, agent="sales"),
        ],
    )
    store.insert(
        "anomalies_in",
        load("anomaly"),
        [
            {
                "anomaly_id": "a", "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 1,
                "onset_ms": 1, "agent": "support", "run_id": "old", "value": 1.0, "message": "m",
            }
        ],
    )  # fmt: skip

    def names(**kind: Any) -> list[str]:
        return [row["run_id"] for row in reader.runs(**kind)]

    assert ["new", "other", "open", "old"] == names()
    assert ["new", "other"] == names(limit=2)
    assert ["other"] == names(agent="sales")
    assert ["new"] == names(stop_reason="max_steps")
    assert ["other", "open"] == names(unfinished=True)
    assert ["old"] == names(anomalous=True)
    assert {"events": 6, "runs": 4, "anomalies": 1, "dead_letters": 0} == reader.counts()


@pytest.mark.stack
def test_anomalies_by_kind_and_as_they_come(store: Any, reader: Reader) -> None:
    def episode(name: str, **fields: Any) -> dict[str, Any]:
        return {
            "anomaly_id": name, "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 1000,
            "onset_ms": 1, "agent": "support", "value": 1.0, "message": "m", **fields,
        }  # fmt: skip

    def names(**kind: Any) -> list[str]:
        return [row["anomaly_id"] for row in reader.anomalies(**kind)]

    store.insert("anomalies_in", load("anomaly"), [episode("a"), episode("b", ts_ms=3000, run_id="r1")])
    store.insert(
        "anomalies_in",
        load("anomaly"),
        [episode("c", ts_ms=2000, rule="drift.cost", agent="sales"), episode("a", state="resolved")],
        first=2,
    )
    assert ["b", "c", "a"] == names()
    assert ["b"] == names(run_id="r1")
    assert ["c"] == names(agent="sales")
    assert ["c"] == names(rule="drift.cost")
    assert ["b", "c"] == names(unresolved=True)
    assert set(REPORT_FIELDS) <= reader.anomalies()[0].keys()

    steps = reader.anomaly_steps(0)
    assert [("a", "open"), ("b", "open"), ("a", "resolved"), ("c", "open")] == [
        (row["anomaly_id"], row["state"]) for row in steps
    ]
    last_ms = round(steps[-1]["ingested_at"].timestamp() * 1000)
    assert ["a", "c"] == [row["anomaly_id"] for row in reader.anomaly_steps(last_ms)]
    assert [] == reader.anomaly_steps(last_ms + 1)


@pytest.mark.stack
def test_any_query_sees_the_views_by_name_and_says_what_is_wrong(
    store: Any, reader: Reader, event_schema: AvroSchema, an_event: Make
) -> None:
    store.insert("events_in", event_schema, [an_event(seq=0)])
    table = reader.sql("SELECT run_id, ts FROM events")
    assert ("run_id", "ts") == table.columns
    assert [("r1", datetime.fromtimestamp(1.0, UTC))] == table.rows
    with pytest.raises(StoreRefused, match="Syntax error"):
        reader.sql("SELEKT 1")
