"""The made-up month: as many events as asked for, and sums that are those of its events."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runwatch.bench.stored_fleet import SLICE_MS, History, make, slices
from runwatch.clickhouse import connect
from runwatch.sinks.migrate import migrate
from runwatch.sinks.query import Reader
from runwatch.sinks.retention import Keep, keep_tables

NOW_MS = 1_790_000_040_000


def test_slices_lie_end_to_end_and_hold_all_runs() -> None:
    history = History(NOW_MS, 1_000_000)
    pieces = list(slices(history))
    assert history.days * 86_400_000 / SLICE_MS == len(pieces)
    assert history.begin_ms == pieces[0].begin_ms
    assert NOW_MS == pieces[-1].begin_ms + SLICE_MS
    assert [piece.first_run + piece.runs for piece in pieces[:-1]] == [piece.first_run for piece in pieces[1:]]
    assert 1_000_000 == pytest.approx(31.5 * sum(piece.runs for piece in pieces), rel=0.01)
    # Days are busier than nights.
    assert max(piece.runs for piece in pieces) > 1.5 * min(piece.runs for piece in pieces)


@pytest.mark.stack
def test_a_small_one_is_what_it_says(stack: Any) -> None:
    settings = stack.unique()
    client = connect(settings)
    migrate(client, settings)
    client.database = settings.database
    keep_tables(client, settings, Keep(logs_days=90))
    told: list[int] = []
    history = History(int(time.time()) // 60 * 60_000, 20_000, days=2, agents=10)
    make(client, settings, history, lambda done, _: told.append(done))
    reader = Reader(settings, client)
    row = reader.rows(
        "SELECT count() AS events, uniqExact(run_id, seq) AS places, uniqExact(agent) AS agents,"
        " countIf(kind = 'run_start') AS runs, countIf(kind = 'stop') AS stops, countIf(status = 'error') AS errors,"
        " uniqExact(run_id) AS ids, min(length(event_id)) AS id_length, max(ts_ms) AS last_ms FROM events"
    )[0]
    assert 20_000 == pytest.approx(row["events"], rel=0.05)
    assert (row["events"], 10, row["runs"], 36) == (row["places"], row["agents"], row["ids"], row["id_length"])
    assert 0.9 * row["runs"] < row["stops"] < row["runs"]
    assert 0 < row["errors"]
    assert history.end_ms - 600_000 < row["last_ms"] < history.end_ms
    summed = {
        table: reader.rows(f"SELECT sum(events) AS n FROM {table} FINAL WHERE {own}")[0]["n"]
        for table, own in {
            "window_parts_stored": "tool IS NULL",
            "five_minutes_stored": "level = 'all'",
            "hours_stored": "tool IS NULL",
            "fleet_hours_stored": "level = 'all'",
        }.items()
    }
    assert dict.fromkeys(summed, row["events"]) == summed
    assert [(row["ids"],)] == reader.sql("SELECT uniqExact(run_id) FROM run_hours_stored").rows
    # A looping run's anomaly, and a calm one's row as the view has it.
    assert 0 < reader.rows("SELECT count() AS n FROM anomalies WHERE rule = 'loop.repeat'")[0]["n"]
    stopped = reader.runs(1, stop_reason="success")[0]
    assert (0, stopped["tool_calls"]) == (stopped["missing_events"], (stopped["steps"]) // 2)
    assert sorted(told) == sorted([*range(8), *range(8)])
    client.command(f"DROP DATABASE {settings.database}")
    client.close()
