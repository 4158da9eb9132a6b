"""What agents do, added up in bulk: the same as added up one by one, however the events are cut into frames."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from runwatch.metrics.agents import COLUMN, HISTOGRAMS, REASONS, AgentTotals, buckets
from runwatch.metrics.labels import OTHER, clean
from runwatch.processors.measure import Measure
from runwatch.processors.metrics import Standing, WorkerMetrics
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.reasons import KNOWN, REFUSALS
from runwatch.schemas.registry import LocalRegistry

from .support import T0, cut, event, frame, message

MOST = 3
NUMBER = st.one_of(st.none(), st.integers(-1, 2**40))
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "agent": st.sampled_from(["a", "b", "", "a\n", "a\x00", "c", "d", "e"]),
            "kind": st.sampled_from(["run_start", "model_result", "tool_result", "stop", "other"]),
            "status": st.sampled_from(["none", "ok", "error"]),
            "attempt": st.sampled_from([None, 0, 1, 2]),
            "http_status": st.sampled_from([None, 200, 429, 500, 599, 600]),
            "stop_reason": st.sampled_from([None, "success", "denied", "killed", "mine", OTHER, "unknown"]),
            "duration_ms": NUMBER,
            "tool_calls": NUMBER,
            "input_tokens": st.one_of(st.none(), st.integers(0, 2**40)),
            "output_tokens": st.one_of(st.none(), st.integers(0, 2**40)),
            "cost_usd": st.one_of(st.none(), st.integers(0, 100).map(float), st.just(math.inf), st.just(math.nan)),
        }
    ),
    max_size=40,
)


def plainly(events: list[dict[str, Any]], most: int) -> np.ndarray[Any, Any]:
    """The totals, one event after the other."""
    totals = AgentTotals(most)
    found = np.zeros_like(totals._totals)
    for one in events:
        row = found[totals.row(one["agent"])]
        kind = one["kind"]
        row[COLUMN["events"]] += 1
        refused = kind in ("tool_result", "model_result") and one["stop_reason"] in REFUSALS
        if refused:
            row[COLUMN["refused"]] += 1
        elif kind == "model_result":
            row[COLUMN["model_calls"]] += 1
            row[COLUMN["input_tokens"]] += one["input_tokens"] or 0
            row[COLUMN["output_tokens"]] += one["output_tokens"] or 0
            row[COLUMN["cost_usd"]] += one["cost_usd"] if math.isfinite(one["cost_usd"] or 0) and one["cost_usd"] else 0
        elif kind == "tool_result":
            row[COLUMN["tool_results"]] += 1
            row[COLUMN["tool_errors"]] += one["status"] == "error"
            row[COLUMN["retries"]] += (one["attempt"] or 0) > 1
            row[COLUMN["rate_limited"]] += one["http_status"] in (429, 500, 599)
        elif kind == "stop":
            reason = one["stop_reason"] or "unknown"
            row[COLUMN[f"stop:{reason if reason in KNOWN else OTHER}"]] += 1
            for name, column in (("tool_calls", "tool_calls"), ("run_ms", "duration_ms")):
                value = one[column]
                if value is not None and value >= 0:
                    row[buckets(name).start + bisect_left(HISTOGRAMS[name].bounds, value)] += 1
                    row[buckets(name).stop] += value
    return found


def fold(watch: EventWatch, metrics: WorkerMetrics, events: list[dict[str, Any]], first: int = 0, **given: Any) -> None:
    if events:
        one = frame([message(event) for event in events], first, **given)
        metrics.read(watch.take(one).fresh)
        metrics.worked(one, 0.01)


@given(EVENTS, st.lists(st.integers(0, 40), max_size=3), st.lists(st.integers(0, 40), max_size=3))
def test_in_bulk_is_as_one_by_one(given: list[dict[str, Any]], cuts: list[int], takes: list[int]) -> None:
    events = [event("r", seq, **one) for seq, one in enumerate(given)]
    totals = AgentTotals(MOST)
    measure = Measure(totals.row, MOST)
    watch = EventWatch(LocalRegistry(), Rules())
    for first, some in cut(events, cuts):
        fresh = watch.take(frame([message(one) for one in some], first)).fresh
        if fresh is not None:
            measure.keep(fresh)
        if first in takes and (numbers := measure.take()) is not None:
            totals.add(numbers)
    if (numbers := measure.take()) is not None:
        totals.add(numbers)
    assert None is measure.take()
    np.testing.assert_array_equal(plainly(events, MOST), totals._totals)


def scraped(metrics: WorkerMetrics) -> dict[str, float]:
    lines = generate_latest(metrics).decode().splitlines()  # type: ignore[arg-type]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_what_is_replayed_or_was_seen_before_counts_nothing() -> None:
    watch, metrics = EventWatch(LocalRegistry(), Rules()), WorkerMetrics()
    events = [event("r", seq) for seq in range(5)]
    fold(watch, metrics, events, replay=True)
    fold(watch, metrics, [*events[3:], event("r", 5)], 5)
    metrics.stands(Standing())
    found = scraped(metrics)
    assert 1 == found['agent_events_total{agent="a"}']
    assert 3 == found['runwatch_frame_messages_sum{topic="agent.events"}']


def test_an_agent_stands_at_0_with_every_known_reason_from_its_first_event_on() -> None:
    watch, metrics = EventWatch(LocalRegistry(), Rules()), WorkerMetrics()
    fold(watch, metrics, [event("r", 0, "run_start", agent="new")])
    metrics.stands(Standing())
    found = scraped(metrics)
    stops = {name: value for name, value in found.items() if name.startswith("agent_stop_total")}
    assert {f'agent_stop_total{{agent="new",stop_reason="{reason}"}}': 0.0 for reason in REASONS} == stops
    assert 0 == found['agent_tool_calls_bucket{agent="new",le="+Inf"}']


def test_more_agents_than_there_are_labels_are_one_and_none_is_lost() -> None:
    metrics = WorkerMetrics()
    watch = EventWatch(LocalRegistry(), Rules())
    agents = [f"agent-{number}" for number in range(1_500)]
    for turn in range(2):
        fold(watch, metrics, [event(name, turn, agent=name) for name in agents], 1_500 * turn)
        metrics.add_up()
    found = Counter({name: value for name, value in scraped(metrics).items() if name.startswith("agent_events_total")})
    assert 1_001 == len(found)
    assert 3_000 == found.total()
    assert 1_000 == found['agent_events_total{agent="(other)"}']
    assert 2 == found['agent_events_total{agent="agent-0"}']


@pytest.mark.parametrize("name", ["x" * 10_000, 'quote" back\\slash', "<b>bold</b>", "line\nbreak", "'; DROP TABLE x"])
def test_names_of_any_kind_are_labels(name: str) -> None:
    watch, metrics = EventWatch(LocalRegistry(), Rules()), WorkerMetrics()
    fold(watch, metrics, [event("r", 0, agent=name)])
    metrics.add_up()
    label = clean(name).replace("\\", "\\\\").replace('"', '\\"')
    assert 1 == scraped(metrics)[f'agent_events_total{{agent="{label}"}}']


def anomaly(**given: Any) -> Anomaly:
    settled: dict[str, Any] = {
        "anomaly_id": "1", "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": T0, "onset_ms": T0,
        "agent": "a", "value": 1.0, "message": "",
    }  # fmt: skip
    return Anomaly(**(settled | given))


def test_anomalies_are_counted_by_rule_and_a_rule_of_tomorrow_is_another() -> None:
    metrics = WorkerMetrics()
    said = [anomaly(), anomaly(state="escalated", severity="critical"), anomaly(rule="loop.of_tomorrow")]
    metrics.said(said, T0 + 20)
    found = scraped(metrics)
    counted = {name: value for name, value in found.items() if name.startswith("agent_anomalies_total") and value}
    assert {
        'agent_anomalies_total{rule="loop.repeat",severity="warning",state="open"}': 1,
        'agent_anomalies_total{rule="loop.repeat",severity="critical",state="escalated"}': 1,
        'agent_anomalies_total{rule="(other)",severity="warning",state="open"}': 1,
    } == counted
    assert 0 == found['agent_anomalies_total{rule="drift.success",severity="critical",state="open"}']
    assert 1 == found['runwatch_detection_delay_seconds_bucket{family="loop",le="0.025"}']
