"""History is judged as the stream is: the same anomalies, however the events are cut, ordered and spread."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pytest

from runwatch.processors import backtest as module
from runwatch.processors.backtest import Backtest, backtest, piece_of_arrow, pieces_of
from runwatch.processors.fleet.watch import FleetWatch
from runwatch.processors.frames import Frame
from runwatch.processors.partitioner import partitions_of
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch, WindowWatch
from runwatch.schemas import avro, wire
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.json_form import RunOrder, parse_line
from runwatch.schemas.registry import LocalRegistry

from ..incident import SEEN, START_MS, incident, slices

RULES = Rules()
Said = set[tuple[str, str, str, int | None]]


def events_of(records: list[dict[str, Any]]) -> list[AgentEvent]:
    order = RunOrder()
    return [parse_line(json.dumps(one).encode(), order) for one in records]


@pytest.fixture(scope="module")
def events() -> list[AgentEvent]:
    return events_of(incident())


def said(found: Iterator[Anomaly] | list[Anomaly]) -> Said:
    # When a failing call works again is told by the calls since it first failed, in a stretch of the log's time.
    return {(one.anomaly_id, one.rule, one.state, None if one.state == "resolved" else one.ts_ms) for one in found}


def judged(events: list[AgentEvent], disorder_ms: int | None, partitions: int = 4) -> Iterator[Anomaly]:
    judging = Backtest(RULES, partitions, disorder_ms)
    for piece in pieces_of(events, partitions, in_order=disorder_ms is not None):
        yield from judging.add(piece)
    yield from judging.finish()


@pytest.fixture(scope="module")
def expected(events: list[AgentEvent]) -> Said:
    return said(backtest(events, RULES))


def test_each_incident_is_seen_once(expected: Said) -> None:
    assert {(rule, "open") for rule in SEEN} <= {(rule, state) for _, rule, state, _ in expected}
    opened = [rule for _, rule, state, _ in expected if state == "open"]
    assert len(opened) == len(set(opened))


def test_in_order_windows_are_judged_on_the_way_and_say_the_same(events: list[AgentEvent], expected: Said) -> None:
    found = list(judged(events, 0))
    assert expected == said(found)
    # The outage was told before the drift that began later, not at the end.
    rules = [one.rule for one in found if one.state == "open"]
    assert rules.index("fleet.failing") < rules.index("drift.tool_calls_per_run")


@pytest.mark.parametrize("chunk", [100, 1_000, 100_000])
def test_however_the_events_are_cut(chunk: int, events: list[AgentEvent], expected: Said, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert expected == said(judged(events, 0)) == said(judged(events, None))


@pytest.mark.parametrize("partitions", [1, 3, 16])
def test_however_many_partitions_there_are(partitions: int, events: list[AgentEvent], expected: Said) -> None:
    assert expected == said(judged(events, 0, partitions)) == said(judged(events, None, partitions))


def test_in_any_order_of_the_runs_windows_say_the_same(events: list[AgentEvent], expected: Said) -> None:
    runs: dict[str, list[AgentEvent]] = defaultdict(list)
    for event in events:
        runs[event.run_id].append(event)
    by_run = [event for run in reversed(runs.values()) for event in run]
    found = said(backtest(by_run, RULES))
    assert {one[:3] for one in expected} == {one[:3] for one in found}
    # Which calls worked before a failing one did is told by the order in which they came.
    assert {one for one in expected if one[1] != "fleet.failing"} == {one for one in found if one[1] != "fleet.failing"}


def test_stored_events_say_the_same(events: list[AgentEvent], expected: Said) -> None:
    found: list[Anomaly] = []
    judging = Backtest(RULES, 4, 60_000)
    for piece in pieces_of(events, 4, in_order=True):
        columns = piece.columns.with_columns(
            kafka_partition=pl.Series(piece.partitions), kafka_offset=pl.Series(piece.offsets)
        ).sort("kafka_partition", "kafka_offset")
        found += judging.add(piece_of_arrow(columns.write_ipc_stream(None).getvalue(), piece.log_ms))
    assert expected == said([*found, *judging.finish()])


def test_what_is_resent_says_nothing_new(events: list[AgentEvent], expected: Said) -> None:
    twice = [event for some in zip(events, events, strict=True) for event in some]
    assert expected == said(judged(twice, 0))


def test_a_pause_of_days_and_an_empty_history() -> None:
    # Stretches that are over and agents that were forgotten: nothing is left to send, and nothing to trip over.
    later = [one | {"ts_ms": one["ts_ms"] + 5 * 86_400_000} for one in incident("late")]
    both = events_of(incident()) + events_of(later)
    rules = [one.rule for one in judged(both, 0) if one.state == "open"]
    assert dict.fromkeys(SEEN, 2) == {rule: rules.count(rule) for rule in SEEN}
    assert [] == list(backtest([], RULES)) == list(judged([], 0))


# -- the same as live --------------------------------------------------------------------------------


class Stream:
    """The worker's own watches, fed as Kafka would: by partition, by key, with ticks."""

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self.registry = LocalRegistry()
        self.events = EventWatch(self.registry, RULES)
        self.windows = WindowWatch(self.registry, RULES)
        self.fleet = FleetWatch(self.registry, RULES.fleet)
        self.offsets: dict[tuple[str, int], int] = defaultdict(int)
        self.found: list[Anomaly] = []

    def take(self, events: list[AgentEvent], log_ms: int) -> None:
        schema = avro.load("agent_event")
        for partition, some in self._spread([(one.run_id, one.to_record()) for one in events], schema):
            out = self.events.take(self._frame("events", partition, some, log_ms))
            self.found += out.anomalies
            self._send(out.parts or (), out.fleet_parts, log_ms)
        self.tick(log_ms)

    def tick(self, log_ms: int) -> None:
        for partition in range(self.partitions):
            self._send(self.events.parts(partition, log_ms), self.events.fleet_parts(partition, log_ms), log_ms)
        self.found += [*self.windows.quiet(log_ms), *self.fleet.quiet(log_ms)]

    def _send(self, parts: Iterable[Any], fleet_parts: Iterable[Any], log_ms: int) -> None:
        schema = avro.load("window_part")
        for partition, some in self._spread([(one["agent"], one) for one in parts], schema):
            self.found += self.windows.take(self._frame("windows", partition, some, log_ms))
        schema = avro.load("fleet_part")
        if values := [wire.encode(one, schema, schema.schema_id) for one in fleet_parts]:
            self.found += self.fleet.take(self._frame("fleet", 0, values, log_ms))

    def _spread(self, keyed: list[tuple[str, Any]], schema: Any) -> Iterator[tuple[int, list[bytes]]]:
        by_partition: dict[int, list[bytes]] = defaultdict(list)
        places = partitions_of([key for key, _ in keyed], self.partitions).tolist()
        for partition, (_, record) in zip(places, keyed, strict=True):
            by_partition[partition].append(wire.encode(record, schema, schema.schema_id))
        yield from sorted(by_partition.items())

    def _frame(self, topic: str, partition: int, values: list[bytes], log_ms: int) -> Frame:
        first = self.offsets[topic, partition]
        self.offsets[topic, partition] += len(values)
        return Frame(f"agent.{topic}", partition, values, range(first, first + len(values)), log_ms)


def test_the_stream_says_the_same(events: list[AgentEvent], expected: Said) -> None:
    stream, step_ms, log_ms = Stream(), 30_000, START_MS
    for some in slices(incident(), step_ms):
        log_ms += step_ms
        stream.take(events_of(some), log_ms)
    # Not for long: what is still open would be resolved, and nobody knows what a history's end is followed by.
    for _ in range(20):
        log_ms += step_ms
        stream.tick(log_ms)
    assert expected == said(stream.found)
    assert 0 == stream.fleet.late
