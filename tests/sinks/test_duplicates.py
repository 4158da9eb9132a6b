"""No view that people query shows anything twice, whatever was stored twice, in whichever way."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.schemas.avro import load
from runwatch.sinks.deadletter import SCHEMA as DEAD_LETTER
from runwatch.sinks.rollup import roll_up

from ..window_parts import part

pytestmark = pytest.mark.stack

WHERE_FROM = {"kafka_partition", "kafka_offset", "ingested_at", "rolled_at", "detected_at"}
"""Columns that tell how a row came in: of copies, one's."""
MINUTE = 60_000


def everything(an_event: Any) -> dict[str, tuple[Any, list[dict[str, Any]]]]:
    """Records for each landing table, each record once."""
    run = {"run_id": "r1", "agent": "support", "agent_version": "2", "model": "m"}
    events = [
        an_event(event_id="e0", seq=0, kind="run_start", ts_ms=MINUTE, **run),
        an_event(event_id="e1", seq=1, kind="model_result", ts_ms=2 * MINUTE, input_tokens=7, cost_usd=0.5, **run),
        an_event(event_id="e2", seq=2, ts_ms=3 * MINUTE, tool="t", status="error", error="ToolDenied",
                 stop_reason="denied", **run),
        an_event(event_id="e3", seq=4, kind="stop", ts_ms=80 * MINUTE, stop_reason="success", tool_calls=1, **run),
    ]  # fmt: skip
    sketches = {"run_ms_keys": [3], "run_ms_counts": [2], "stop_reasons": ["success"], "stop_reason_counts": [2]}
    parts = [
        part(window_start_ms=0, version=9, events=5, closed=True, **sketches),
        part(window_start_ms=0, version=9, events=4, source_partition=1, **sketches),
        part(window_start_ms=MINUTE, version=9, events=3, tool="t", tool_calls=3),
    ]
    opened = {
        "anomaly_id": "a1", "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 5, "onset_ms": 1,
        "agent": "support", "run_id": "r1", "value": 4.0, "message": "m", "detected_ms": 10,
    }  # fmt: skip
    control = {"control_id": "c1", "scope": "run:r1", "mode": "stop", "ts_ms": 7, "why": "w", "by": "b"}
    snapshot = {
        "sha": "s", "kind": "args", "ts_ms": 1, "agent": "support", "tool": "t", "key_id": "k", "sealed": b"x",
        "payload_chars": 1, "kept_chars": 1, "truncated": False, "redactions": [], "redaction_counts": [],
    }  # fmt: skip
    letter = {
        "topic": "x",
        "partition": 1,
        "offset": 2,
        "reason": "avro",
        "detail": "d",
        "key": b"k",
        "value": b"v",
        "retries": 0,
    }
    return {
        "events_in": (load("agent_event"), events),
        "window_parts_in": (load("window_part"), parts),
        "anomalies_in": (load("anomaly"), [opened, opened | {"state": "resolved", "ts_ms": 9}]),
        "control_in": (load("control"), [control]),
        "snapshots_in": (load("snapshot"), [snapshot]),
        "dead_letters_in": (DEAD_LETTER, [letter]),
    }


def views(store: Any) -> list[str]:
    rows = store.rows("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'")
    return sorted(name for (name,) in rows)


def shown(store: Any, view: str) -> list[str]:
    """A view's rows, without the columns that say how they came in."""
    names = [name for name, *_ in store.rows(f"DESCRIBE TABLE {view}") if name not in WHERE_FROM]
    return sorted(str(row) for row in store.rows(f"SELECT {', '.join(f'`{name}`' for name in names)} FROM {view}"))


def test_no_view_shows_what_was_stored_twice(store: Any, an_event: Any) -> None:
    tables = everything(an_event)
    for table, (schema, records) in tables.items():
        store.insert(table, schema, records)
    roll_up(store.client, store.settings)
    names = views(store)
    once = {name: shown(store, name) for name in names}
    assert {"events", "runs", "agent_runs", "anomalies", "audit", "window_metrics", "hourly_metrics"} <= {*names}
    assert [] == [name for name, rows in once.items() if not rows]
    assert 4 == len(once["events"])

    landed = {table.removesuffix("_in") + "_stored" for table in tables}
    for table, (schema, records) in tables.items():
        # What a sink that was taken for dead had under way: the same messages. Then what was sent once more.
        store.insert(table, schema, records)
        store.insert(table, schema, records, first=500, partition=1)
    # A worker that was taken for dead says what it knew then, and found it later.
    _, parts = tables["window_parts_in"]
    older = [one | {"version": 3, "closed": False, "events": 1} for one in parts]
    store.insert("window_parts_in", load("window_part"), older, first=900)
    _, anomalies = tables["anomalies_in"]
    store.insert("anomalies_in", load("anomaly"), [one | {"detected_ms": 99} for one in anomalies], first=900)
    # Copies that are stored on another day are in another part, and never merge.
    for table in landed:
        store.client.command(
            f"INSERT INTO {table} SELECT * REPLACE (ingested_at - toIntervalDay(3) AS ingested_at) FROM {table}"
        )
    for _ in range(2):
        roll_up(store.client, store.settings)
    again = {name: shown(store, name) for name in names}
    assert {} == {name: (once[name], again[name]) for name in names if once[name] != again[name]}

    for table in sorted(landed):
        store.client.command(f"OPTIMIZE TABLE {table} FINAL")
    merged = {name: shown(store, name) for name in names}
    assert {} == {name: (once[name], merged[name]) for name in names if once[name] != merged[name]}
