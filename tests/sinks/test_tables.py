"""The tables in the real ClickHouse: made once, refusing what is not whole, and showing nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runwatch.clickhouse import StoreMissing, StoreRefused, connect
from runwatch.schemas.avro import AvroSchema, load, make_schema
from runwatch.sinks import migrate as migrate_module
from runwatch.sinks.ddl import Layout, statements
from runwatch.sinks.insert import ClickHouseLanding
from runwatch.sinks.migrate import all_migrations, applied, migrate
from runwatch.sinks.resume import stored

pytestmark = pytest.mark.stack
Make = Callable[..., Any]


def test_migrations_run_once(store: Any) -> None:
    numbers = {migration.number for migration in all_migrations()}
    assert numbers == applied(store.client, Layout(store.settings.database))
    assert [] == migrate(store.client, store.settings)


def test_a_migration_that_died_half_way_is_run_again(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    half = migrate_module.Migration(
        99, "half", "CREATE TABLE IF NOT EXISTS {database}.half (a Int8) ENGINE = Null;\nWRONG"
    )
    whole = migrate_module.Migration(99, "half", half.template.replace("WRONG", "SELECT 1"))
    monkeypatch.setattr(migrate_module, "all_migrations", lambda: [half])
    with pytest.raises(RuntimeError):
        migrate(store.client, store.settings)
    assert 99 not in applied(store.client, Layout(store.settings.database))
    monkeypatch.setattr(migrate_module, "all_migrations", lambda: [whole])
    assert ["0099_half"] == migrate(store.client, store.settings)


def test_several_may_migrate_at_a_time(stack: Any) -> None:
    settings = stack.unique()

    def run(_: int) -> list[str]:
        client = connect(settings)
        try:
            return migrate(client, settings)
        finally:
            client.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    client = connect(settings)
    assert {migration.number for migration in all_migrations()} == applied(client, Layout(settings.database))
    client.command(f"DROP DATABASE {settings.database}")


def test_the_clusters_ddl_is_well_formed(store: Any) -> None:
    # No cluster here to run it on; ClickHouse's own parser reads it.
    for migration in all_migrations():
        for statement in statements(migration.template, Layout("runwatch", "c1")):
            tree = store.client.raw_query(f"EXPLAIN AST {statement}").decode()
            assert any(kind in tree for kind in ("Create", "InsertQuery", "AlterQuery")), statement


def test_an_event_sent_twice_is_shown_once(store: Any, event_schema: AvroSchema, an_event: Make) -> None:
    events = [an_event(seq=seq, labels='{"a":1}', outcome=0.5) for seq in range(20)]
    store.insert("events_in", event_schema, events, first=0)
    store.insert("events_in", event_schema, events, first=100)
    store.insert("events_in", event_schema, events[:5], first=0)
    assert [(20, 20, 100, 119)] == store.rows(
        "SELECT count(), uniqExact(event_id), min(kafka_offset), max(kafka_offset) FROM events"
    )
    assert [(1, 20)] == store.rows("SELECT count(), any(events) FROM runs")


def test_a_nullable_field_stays_null_and_an_enum_is_its_word(
    store: Any, event_schema: AvroSchema, an_event: Make
) -> None:
    store.insert("events_in", event_schema, [an_event(seq=3, status="ok", tool="")])
    row = store.row("SELECT * FROM events")
    assert (None, None, None, "") == (row["model"], row["duration_ms"], row["labels"], row["tool"])
    assert ("tool_result", "ok", 1003) == (row["kind"], row["status"], row["ts_ms"])


def test_imported_history_is_kept_from_the_day_it_was_stored(
    store: Any, event_schema: AvroSchema, an_event: Make
) -> None:
    month_ms = 30 * 86_400_000
    events = [an_event(seq=seq, ts_ms=seq * month_ms) for seq in range(200)]
    store.insert("events_in", event_schema, [*events, an_event(seq=200, ts_ms=253_402_300_799_999)])
    store.client.command("OPTIMIZE TABLE events_stored FINAL")
    assert [(201,)] == store.rows("SELECT count() FROM events")
    assert [(1,)] == store.rows(
        "SELECT uniqExact(partition) FROM system.parts WHERE active AND table = 'events_stored'"
        f" AND database = '{store.settings.database}'"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bodies: [body[:-6] if at == 7 else body for at, body in enumerate(bodies)],
        lambda bodies: [body[:30] if at == 7 else body for at, body in enumerate(bodies)],
        lambda bodies: [b"" if at == 7 else body for at, body in enumerate(bodies)],
        lambda bodies: [body + b"tail" if at == 7 else body for at, body in enumerate(bodies)],
        lambda bodies: [b"\xff" * 60 if at == 7 else body for at, body in enumerate(bodies)],
        lambda bodies: [body[:-6] if at == 19 else body for at, body in enumerate(bodies)],
    ],
)
def test_a_spoilt_body_refuses_the_whole_block(
    store: Any, event_schema: AvroSchema, an_event: Make, spoil: Make
) -> None:
    with pytest.raises(StoreRefused):
        store.insert("events_in", event_schema, [an_event(seq=seq) for seq in range(20)], mend=spoil)
    assert [(0,)] == store.rows("SELECT count() FROM events")


def test_an_older_and_a_newer_schema_go_into_the_same_table(
    store: Any, event_schema: AvroSchema, an_event: Make
) -> None:
    raw = json.loads(event_schema.text)
    raw["fields"] = [each for each in raw["fields"] if each["name"] not in ("labels", "model", "attempt")]
    older = make_schema("agent_event", raw)
    raw = json.loads(event_schema.text)
    raw["fields"].append({"name": "colour", "type": ["null", "string"], "default": None})
    kind = next(each for each in raw["fields"] if each["name"] == "kind")
    kind["type"]["symbols"].append("thought")
    newer = make_schema("agent_event", raw)

    store.insert("events_in", older, [an_event(seq=0, tool="a")])
    store.insert("events_in", newer, [an_event(seq=1, tool="b", kind="thought", colour="red", model="m")])

    assert [(0, "a", "tool_result", None), (1, "b", "thought", "m")] == store.rows(
        "SELECT seq, tool, kind, model FROM events ORDER BY seq"
    )


def test_a_missing_table_says_what_to_do(store: Any) -> None:
    landing = ClickHouseLanding(store.settings, store.client)
    with pytest.raises(StoreMissing, match="`runwatch sink` makes what is missing"):
        landing.insert("nothing_in", b"")


def test_what_is_stored_of_a_partition_is_told_offset_by_offset(
    store: Any, event_schema: AvroSchema, an_event: Make
) -> None:
    def put(first: int, count: int, **where: int) -> None:
        events = [an_event(seq=first + n, event_id=f"{where}{first + n}") for n in range(count)]
        store.insert("events_in", event_schema, events, first, **where)

    put(0, 10, partition=2)
    put(12, 3, partition=2)
    put(20, 1, partition=2)
    put(16, 2, partition=3)
    put(16, 2, partition=2, source=9)
    stretches = stored(store.client, store.settings.database, "events_stored", 1, 2, 5)
    assert [5, 6, 7, 8, 9, 12, 13, 14, 20] == [offset for offset in range(30) if offset in stretches]
    empty = stored(store.client, store.settings.database, "events_stored", 1, 7, 0)
    assert empty.end == -1


def test_a_command_is_in_the_log_once(store: Any) -> None:
    command = {"control_id": "c1", "scope": "fleet", "mode": "stop", "ts_ms": 5000, "why": "loop", "by": "me"}
    later = command | {"control_id": "c2", "mode": "allow", "ts_ms": 6000, "expires_ms": 9000}
    store.insert("control_in", load("control"), [command, later], first=0)
    store.insert("control_in", load("control"), [command], first=0)
    assert [("c1", "stop", 5000, None), ("c2", "allow", 6000, 9)] == store.rows(
        "SELECT control_id, mode, ts_ms, toUnixTimestamp(expires_at) FROM control_log ORDER BY ts"
    )


def test_an_anomaly_is_shown_as_it_stands_and_its_history_state_by_state(store: Any) -> None:
    opened = {
        "anomaly_id": "a1", "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 5000,
        "onset_ms": 3000, "agent": "support", "run_id": "r1", "value": 4.0, "message": "opened", "seqs": [1, 2],
        "detected_ms": 5100,
    }  # fmt: skip
    again = opened | {"detected_ms": 9000, "message": "found again"}
    resolved = opened | {"state": "resolved", "severity": "info", "message": "over", "detected_ms": 7000}
    store.insert("anomalies_in", load("anomaly"), [resolved, again], first=0)
    store.insert("anomalies_in", load("anomaly"), [opened], first=2)
    assert [("open", "opened"), ("resolved", "over")] == store.rows(
        "SELECT state, message FROM anomaly_history ORDER BY state"
    )
    row = store.row("SELECT * FROM anomalies")
    assert ("resolved", "over", 5000, [1, 2]) == (row["state"], row["message"], row["ts_ms"], row["seqs"])
    assert 5.1 == row["detected_at"].replace(tzinfo=None).timestamp() - row["opened"].timestamp() + 5


def test_a_payload_is_stored_once_for_each_key_that_it_was_sealed_for(store: Any) -> None:
    snapshot = {
        "sha": "a" * 24, "kind": "result", "ts_ms": 5000, "agent": "support", "tool": None, "key_id": "k1",
        "sealed": bytes(range(256)), "payload_chars": 9, "kept_chars": 7, "truncated": True,
        "redactions": ["email", "card"], "redaction_counts": [2, 1],
    }  # fmt: skip
    store.insert("snapshots_in", load("snapshot"), [snapshot, snapshot | {"key_id": "k2"}], first=0)
    store.insert("snapshots_in", load("snapshot"), [snapshot | {"ts_ms": 6000}], first=2)
    assert [("k1", 6000, True, ["email", "card"], [2, 1]), ("k2", 5000, True, ["email", "card"], [2, 1])] == store.rows(
        "SELECT key_id, ts_ms, truncated, redactions, redaction_counts FROM snapshots ORDER BY key_id"
    )
    # Every byte of the box as it was.
    assert [(bytes(range(256)).hex().upper(),)] == store.rows("SELECT DISTINCT hex(sealed) FROM snapshots")
