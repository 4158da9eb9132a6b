"""The index of runs: filled as events come and from events of before, and never twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runwatch.schemas import reasons
from runwatch.schemas.avro import AvroSchema
from runwatch.sinks import migrate as migrate_module
from runwatch.sinks.ddl import Layout, statements
from runwatch.sinks.migrate import all_migrations
from runwatch.sinks.query import Reader

Make = Callable[..., Any]
HOUR_MS = 3_600_000
INDEX = (
    "SELECT run_id, toUnixTimestamp64Milli(hour) DIV 3600000, agent, agent_version, model,"
    " toUnixTimestamp64Milli(first_event_at), toUnixTimestamp64Milli(last_event_at), stopped, stop_reason"
    " FROM run_hours ORDER BY run_id, hour"
)


def test_the_view_of_runs_knows_every_reason_to_refuse(root: Path) -> None:
    text = (root / "sinks" / "migrations" / "0010_runs.sql").read_text(encoding="utf-8")
    listed = text.partition("ifNull(e.stop_reason, '') IN (")[2].partition(")")[0]
    assert reasons.REFUSALS == set(re.findall(r"'(\w+)'", listed))


@pytest.fixture
def reader(store: Any) -> Iterator[Reader]:
    made = Reader(store.settings)
    yield made
    made.close()


def history(an_event: Make) -> list[dict[str, Any]]:
    """A run over two hours, one that goes on, and one with a clock that is wrong by centuries."""
    return [
        an_event(seq=0, kind="run_start", ts_ms=1000, agent_version="2"),
        an_event(seq=1, ts_ms=2000, agent_version="2", model="m", stop_reason="denied", status="error"),
        an_event(seq=2, kind="stop", ts_ms=HOUR_MS + 5, agent_version="2", stop_reason="success"),
        an_event(run_id="r2", event_id="x", seq=0, ts_ms=3000, agent="sales"),
        an_event(run_id="r3", event_id="y", seq=0, ts_ms=253_402_300_799_000),
    ]


EXPECTED = [
    ("r1", 0, "support", "2", "m", 1000, 2000, False, None),
    ("r1", 1, "support", "2", None, HOUR_MS + 5, HOUR_MS + 5, True, "success"),
    ("r2", 0, "sales", None, None, 3000, 3000, False, None),
    ("r3", 70_389_527, "support", None, None, 253_402_300_799_000, 253_402_300_799_000, False, None),
]


@pytest.mark.stack
def test_events_that_are_sent_again_change_nothing(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    for first in (0, 100):
        store.insert("events_in", event_schema, history(an_event), first=first)
        for each in history(an_event)[::-1]:
            store.insert("events_in", event_schema, [each], first=first + 50)
    assert EXPECTED == store.rows(INDEX)
    store.client.command("OPTIMIZE TABLE run_hours_stored FINAL")
    assert EXPECTED == store.rows(INDEX)
    assert [(4,)] == store.rows("SELECT count() FROM run_hours_stored")


@pytest.mark.stack
def test_a_database_of_before_is_taken_in_however_often(
    stack: Any, store: Any, event_schema: AvroSchema, an_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = all_migrations()
    store.insert("events_in", event_schema, history(an_event))
    for table in ("run_hours_fill", "run_hours_stored"):
        store.client.command(f"DROP TABLE {table}")
    store.client.command("ALTER TABLE schema_migrations DELETE WHERE number >= 10 SETTINGS mutations_sync = 2")
    monkeypatch.setattr(migrate_module, "all_migrations", lambda: made)
    again = migrate_module.migrate(store.client, store.settings)
    assert "0010_runs" in again
    assert EXPECTED == store.rows(INDEX)
    # As one that died half-way.
    for migration in made[9:]:
        for statement in statements(migration.template, Layout(store.settings.database)):
            store.client.command(statement)
    assert EXPECTED == store.rows(INDEX)


@pytest.mark.stack
def test_calls_that_were_refused_are_steps_and_no_calls(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    refused = {"status": "error", "error": "ToolDenied", "stop_reason": "denied"}
    events = [
        an_event(seq=0, kind="run_start"),
        an_event(seq=1, tool="a", status="ok"),
        an_event(seq=2, tool="a", status="error", error="Own", attempt=2),
        an_event(seq=3, tool="a", attempt=2, **refused),
        an_event(seq=4, kind="model_result", **refused),
        an_event(seq=5, kind="model_result", status="ok"),
        # An agent's own word for why, which is no refusal.
        an_event(seq=6, tool="a", status="error", stop_reason="bored"),
        an_event(seq=7, kind="stop", stop_reason="denied", tool_calls=3),
    ]
    store.insert("events_in", event_schema, events)
    row = store.row("SELECT * FROM agent_runs")
    expected = {
        "steps": 6, "tool_calls": 3, "refused_calls": 2, "tool_errors": 2, "retries": 1, "model_calls": 1,
        "stop_reason": "denied",
    }  # fmt: skip
    assert expected == {name: row[name] for name in expected}


@pytest.mark.stack
def test_the_latest_are_found_without_reading_events_of_others(
    store: Any, reader: Reader, event_schema: AvroSchema, an_event: Make
) -> None:
    events = [
        an_event(run_id=f"r{n:05}", event_id=f"e{n}", seq=0, ts_ms=n * 60_000, agent=f"a{n % 3}") for n in range(30_000)
    ]
    store.insert("events_in", event_schema, events)
    store.client.command("OPTIMIZE TABLE events_stored FINAL")
    assert ["r29999", "r29998"] == [run["run_id"] for run in reader.runs(2)]
    assert ["r29997", "r29994"] == [run["run_id"] for run in reader.runs(2, agent="a0")]
    told = store.client.query(
        "SELECT run_id FROM run_hours_stored WHERE hour >= toDateTime(29940 * 60) GROUP BY run_id"
    ).summary
    assert int(told["read_rows"]) < 30_000


@pytest.mark.stack
def test_runs_of_a_time_a_version_and_a_model(
    store: Any, reader: Reader, event_schema: AvroSchema, an_event: Make
) -> None:
    def run(name: str, *times_ms: int, **fields: Any) -> list[dict[str, Any]]:
        return [
            an_event(run_id=name, event_id=f"{name}{seq}", seq=seq, ts_ms=at, **fields)
            for seq, at in enumerate(times_ms)
        ]

    store.insert(
        "events_in",
        event_schema,
        [
            *run("old", 1000, 2000, agent_version="1", model="m"),
            *run("long", 3000, 5 * HOUR_MS, agent_version="2", model="m"),
            *run("mid", 2 * HOUR_MS, agent_version="2", model="n"),
            *run("new", 9 * HOUR_MS, 9 * HOUR_MS + 1, agent_version="1", model="n"),
        ],
    )

    def names(**kind: Any) -> list[str]:
        return [row["run_id"] for row in reader.runs(**kind)]

    assert ["new", "long", "mid", "old"] == names()
    assert ["new", "old"] == names(version="1")
    assert ["long", "old"] == names(model="m")
    assert ["mid"] == names(version="2", model="n")
    assert [] == names(version="' OR 1 = 1 --")
    assert ["new", "long"] == names(from_ms=3 * HOUR_MS)
    # By its last event: the long one is not of the first hours.
    assert ["mid", "old"] == names(to_ms=3 * HOUR_MS)
    assert ["mid"] == names(from_ms=2000 + 1, to_ms=3 * HOUR_MS)
    assert ["long"] == names(from_ms=5 * HOUR_MS, to_ms=9 * HOUR_MS, unfinished=True)
