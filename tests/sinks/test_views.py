"""The views people query: runs, window metrics, the article's weekly question."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwatch.schemas import reasons
from runwatch.schemas.avro import AvroSchema, load
from runwatch.sinks.rollup import roll_up

from ..window_parts import GAMMA, part, sketch

pytestmark = pytest.mark.stack
Make = Callable[..., Any]

HOUR_MS = 3_600_000

# As the article states it, for PostgreSQL; it runs as it is.
WEEKLY = """
SELECT date_trunc('hour', created_at) AS hour, avg(tool_calls) AS mean_calls
FROM agent_runs
WHERE created_at >= now() - INTERVAL '7 days'
GROUP BY hour
HAVING avg(tool_calls) > 2 * (
    SELECT avg(tool_calls) FROM agent_runs
    WHERE created_at >= now() - INTERVAL '14 days' AND created_at < now() - INTERVAL '7 days'
)
ORDER BY hour
"""


def test_the_audit_has_what_was_said_and_what_was_refused(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    said = {"control_id": "c1", "scope": "agent:a@b", "mode": "stop", "ts_ms": 1000, "why": "w", "by": "me"}
    version = said | {"control_id": "c2", "scope": "version:a@b@1.2", "ts_ms": 2000, "anomaly_id": "n1"}
    store.insert("control_in", load("control"), [said, version, said])
    refused = an_event(
        seq=1, ts_ms=3000, agent="a@b", tool="t", status="error", error="ToolDenied", stop_reason="denied"
    )
    own = an_event(seq=2, ts_ms=4000, status="error", error="ToolDenied")
    end = an_event(seq=3, ts_ms=5000, kind="stop", stop_reason="killed")
    store.insert("events_in", event_schema, [refused, own, end])
    assert [
        ("command", "me", "agent:a@b", "stop", "w", "", "a@b", "", ""),
        ("command", "me", "version:a@b@1.2", "stop", "w", "", "a@b", "", "n1"),
        ("refusal", "a@b", "run:r1", "ToolDenied", "denied", "r1", "a@b", "t", ""),
    ] == store.rows("SELECT entry, who, scope, what, why, run_id, agent, tool, anomaly_id FROM audit ORDER BY ts")


def test_the_audit_knows_every_reason_to_refuse(root: Path) -> None:
    text = (root / "sinks" / "migrations" / "0012_signed.sql").read_text(encoding="utf-8")
    assert reasons.REFUSALS == set(re.findall(r"'(\w+)'", text.rpartition("stop_reason IN (")[2]))


def test_a_whole_run_is_one_row(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    events = [
        an_event(seq=0, kind="run_start", ts_ms=1000, prompt_sha="p", tools_sha="t", agent_version="2"),
        an_event(seq=1, kind="model_result", ts_ms=2000, model="m", duration_ms=900, input_tokens=10, output_tokens=5),
        an_event(seq=2, ts_ms=3000, status="error", tool="a", attempt=1, error="Timeout"),
        an_event(seq=3, ts_ms=4000, status="ok", tool="a", attempt=2),
        an_event(
            seq=4, kind="stop", ts_ms=5000, stop_reason="success", outcome=0.8, duration_ms=4500,
            tool_calls=2, input_tokens=10, output_tokens=5, cost_usd=0.25,
        ),
    ]  # fmt: skip
    store.insert("events_in", event_schema, events)
    store.insert("events_in", event_schema, events, first=50)
    row = store.row("SELECT * FROM runs")
    expected = {
        "run_id": "r1", "agent": "support", "agent_version": "2", "model": "m", "prompt_sha": "p", "tools_sha": "t",
        "events": 5, "steps": 3, "model_calls": 1, "tool_calls": 2, "tool_errors": 1, "retries": 1,
        "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25, "duration_ms": 4500, "stop_reason": "success",
        "outcome": 0.8, "missing_events": 0, "anomalies": 0, "anomaly_rules": [],
    }  # fmt: skip
    assert expected == {name: row[name] for name in expected}
    assert (1.0, 5.0) == (row["started_at"].timestamp() % 60, row["stopped_at"].timestamp() % 60)


def test_a_run_without_start_and_stop_is_a_row_too(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    events = [
        an_event(seq=2, ts_ms=10_000, duration_ms=3000, tool="a"),
        an_event(seq=3, kind="model_result", ts_ms=12_000, input_tokens=7, output_tokens=1, cost_usd=0.5),
        an_event(seq=5, kind="model_result", ts_ms=13_000, input_tokens=8, output_tokens=1, cost_usd=0.25),
    ]
    store.insert("events_in", event_schema, events)
    row = store.row("SELECT * FROM runs")
    expected = {
        "stopped_at": None, "stop_reason": None, "outcome": None, "tool_calls": 1, "input_tokens": 15,
        "output_tokens": 2, "cost_usd": 0.75, "duration_ms": 6000, "missing_events": 3,
    }  # fmt: skip
    assert expected == {name: row[name] for name in expected}


def test_nobody_knew_is_null_and_not_zero(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    store.insert("events_in", event_schema, [an_event(seq=0), an_event(seq=1, kind="stop", stop_reason="max_steps")])
    row = store.row("SELECT input_tokens, output_tokens, cost_usd, stop_reason FROM runs")
    assert (None, None, None, "max_steps") == tuple(row.values())


def test_where_events_are_missing_the_runs_own_totals_count(
    store: Any, event_schema: AvroSchema, an_event: Make
) -> None:
    store.insert(
        "events_in", event_schema, [an_event(seq=1), an_event(seq=9, kind="stop", tool_calls=8, input_tokens=100)]
    )
    row = store.row("SELECT tool_calls, input_tokens, missing_events FROM runs")
    assert (8, 100, 8) == tuple(row.values())


def test_a_run_knows_its_anomalies(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    store.insert("events_in", event_schema, [an_event(seq=0), an_event(run_id="r2", event_id="x", seq=0)])
    opened = {
        "anomaly_id": "a1", "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 1, "onset_ms": 1,
        "agent": "support", "run_id": "r1", "value": 4.0, "message": "m",
    }  # fmt: skip
    anomalies = [
        opened,
        opened | {"state": "resolved"},
        opened | {"anomaly_id": "a2", "rule": "loop.cycle"},
        opened | {"anomaly_id": "a3", "run_id": None},
    ]
    store.insert("anomalies_in", load("anomaly"), anomalies)
    assert [("r1", 2, ["loop.cycle", "loop.repeat"]), ("r2", 0, [])] == store.rows(
        "SELECT run_id, anomalies, anomaly_rules FROM runs ORDER BY run_id"
    )


def test_one_run_is_found_by_its_key(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    events = [an_event(run_id=f"r{n:05}", event_id=f"e{n}", seq=0) for n in range(40_000)]
    store.insert("events_in", event_schema, events)
    plan = store.client.raw_query("EXPLAIN indexes = 1 SELECT tool_calls FROM runs WHERE run_id = 'r20000'").decode()
    assert "Granules: 1/5" in plan


def test_the_articles_weekly_question_runs_as_it_is(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    now = int(time.time() * 1000)

    def run(name: str, ago_ms: int, calls: int) -> list[dict[str, Any]]:
        of_run = {"run_id": name, "ts_ms": now - ago_ms}
        return [
            an_event(seq=0, kind="run_start", event_id=f"{name}-0", **of_run),
            an_event(seq=1, kind="stop", event_id=f"{name}-1", tool_calls=calls, **of_run),
        ]

    events = [event for day in range(8, 14) for event in run(f"before{day}", day * 24 * HOUR_MS, 4)]
    events += run("quiet", 5 * HOUR_MS, 8) + run("loud", 3 * HOUR_MS, 15) + run("louder", 3 * HOUR_MS + 1, 17)
    store.insert("events_in", event_schema, events)
    ((hour, mean),) = store.rows(WEEKLY)
    assert mean == 16.0
    assert 0 <= (now / 1000 - 3 * 3600) - hour.timestamp() < 3600 or time.localtime().tm_gmtoff != 0


def test_quantiles_are_within_one_percent_for_any_grouping(store: Any) -> None:
    rnd = random.Random(11)
    by_group: dict[tuple[str, int], list[float]] = {}
    parts = []
    for version in ("1", "2"):
        for window in (0, 1):
            for source in (0, 1, 2):
                values = [rnd.lognormvariate(6, 1.5) for _ in range(rnd.randrange(1, 400))]
                by_group.setdefault((version, window), []).extend(values)
                keys, counts = sketch(values)
                parts.append(
                    part(
                        window_start_ms=window * 60_000, agent_version=version, source_partition=source,
                        version=1, runs_stopped=len(values), run_ms_sum=round(sum(values)),
                        run_ms_keys=keys, run_ms_counts=counts,
                    )
                )  # fmt: skip
    store.insert("window_parts_in", load("window_part"), parts)
    store.insert("window_parts_in", load("window_part"), parts, first=100)

    def exact(values: list[float], q: float) -> float:
        return sorted(values)[math.floor(q * (len(values) - 1))]

    rows = store.rows(
        "SELECT agent_version, toUnixTimestamp64Milli(window_start) DIV 60000, run_ms_p50, run_ms_p95, run_ms_p99,"
        " run_ms_mean, runs_stopped FROM window_metrics"
    )
    assert by_group.keys() == {(version, window) for version, window, *_ in rows}
    for version, window, p50, p95, p99, mean, stopped in rows:
        values = by_group[version, window]
        assert len(values) == stopped
        assert [exact(values, q) for q in (0.5, 0.95, 0.99)] == pytest.approx([p50, p95, p99], rel=0.01)
        assert sum(values) / len(values) == pytest.approx(mean, rel=0.001)

    everything = [value for values in by_group.values() for value in values]
    for query in (
        "SELECT runwatch_quantile(sumMap(run_ms_keys, run_ms_counts), 0.95) FROM window_parts",
        "SELECT runwatch_quantile(sumMap(run_ms_sketch), 0.95) FROM window_metrics",
    ):
        ((p95,),) = store.rows(query)
        assert exact(everything, 0.95) == pytest.approx(p95, rel=0.01)


def test_the_extremes_of_a_sketch(store: Any) -> None:
    keys, counts = sketch([0.0, -3.0, 1.0])
    store.insert(
        "window_parts_in",
        load("window_part"),
        [
            part(version=1, call_ms_keys=keys, call_ms_counts=counts, run_cost_usd_keys=[40_000],
                 run_cost_usd_counts=[1]),
        ],
    )  # fmt: skip
    row = store.row("SELECT call_ms_p50, call_ms_p99, run_ms_p50, run_cost_usd_p50, run_ms_mean FROM window_metrics")
    assert row["call_ms_p50"] == 0.0
    assert row["call_ms_p99"] == 0.0
    assert row["run_ms_p50"] is None
    assert row["run_ms_mean"] is None
    assert math.isfinite(row["run_cost_usd_p50"])


def test_of_two_versions_of_a_part_the_newer_counts_and_the_closed_one(store: Any) -> None:
    parts = [
        part(version=9, events=9, stop_reasons=["success"], stop_reason_counts=[9]),
        part(version=9, events=9, closed=True, stop_reasons=["success", "killed"], stop_reason_counts=[8, 1]),
        part(version=4, events=4),
        # Others: by source, by slot, by tool, also by a tool without a name.
        part(version=1, events=100, source_partition=1, stop_reasons=["killed"], stop_reason_counts=[1]),
        part(version=1, events=1000, slot_ms=60_000),
        part(version=1, events=5, tool=""),
        part(version=1, events=6, tool="a"),
    ]
    for first, each in enumerate(parts):
        store.insert("window_parts_in", load("window_part"), [each], first=first)
    assert [(None, 1109, {"killed": 2, "success": 8}), ("", 5, {}), ("a", 6, {})] == store.rows(
        "SELECT tool, events, stop_reasons FROM window_metrics ORDER BY tool NULLS FIRST"
    )
    assert [(True, 1), (False, 4)] == store.rows("SELECT closed, count() FROM window_parts GROUP BY closed ORDER BY 2")


def test_parallel_lists_of_different_lengths_are_refused(store: Any) -> None:
    with pytest.raises(RuntimeError, match="parallel"):
        store.insert("window_parts_in", load("window_part"), [part(run_ms_keys=[1, 2], run_ms_counts=[1])])


def test_hours_are_summed_up_anew_however_often(store: Any) -> None:
    query = (
        "SELECT toUnixTimestamp(window_start) DIV 3600, tool, events, run_ms_p50, stop_reasons FROM hourly_metrics"
        " ORDER BY 1, 2 NULLS FIRST"
    )
    stop = {"stop_reasons": ["success"], "stop_reason_counts": [1]}
    parts = [
        part(window_start_ms=minute * 60_000, version=1, events=1, run_ms_keys=[minute], run_ms_counts=[1], **stop)
        for minute in range(90)
    ]
    parts.append(part(window_start_ms=0, version=1, events=7, tool="a"))
    roll_up(store.client, store.settings)
    assert [] == store.rows(query)
    store.insert("window_parts_in", load("window_part"), parts)
    for _ in range(2):
        roll_up(store.client, store.settings)
        (first, of_tool, second) = store.rows(query)
        assert (0, None, 60, {"success": 60}) == (*first[:3], first[4])
        assert 2 * GAMMA**29 / (GAMMA + 1) == pytest.approx(first[3])
        assert (0, "a", 7, None, {}) == of_tool
        assert (1, None, 30, {"success": 30}) == (*second[:3], second[4])
    # A newer version of one part, and a part of another day of log time.
    later = [
        part(window_start_ms=0, version=2, events=101),
        part(window_start_ms=0, version=1, events=1000, slot_ms=3 * 86_400_000),
    ]
    store.insert("window_parts_in", load("window_part"), later, first=200)
    roll_up(store.client, store.settings)
    assert [(0, 1160), (1, 30)] == [row[0:1] + row[2:3] for row in store.rows(query) if row[1] is None]
    windows = store.rows("SELECT sum(events) FROM window_metrics WHERE tool IS NULL")
    assert windows == store.rows("SELECT sum(events) FROM hourly_metrics WHERE tool IS NULL")


def test_one_grain_does_not_read_the_others_table(store: Any) -> None:
    store.insert("window_parts_in", load("window_part"), [part(version=1, window_start_ms=n) for n in range(100)])
    result = store.client.query("SELECT sum(events) FROM hourly_metrics")
    # A view reads a row or two of constants.
    assert int(result.summary["read_rows"]) < 10
