"""Retention on the real servers: tables' TTL follows the settings, and what does not change is not touched."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.schemas import topics
from runwatch.schemas.avro import AvroSchema
from runwatch.sinks.app import run_sink
from runwatch.sinks.migrate import all_migrations
from runwatch.sinks.retention import Keep, keep_tables, keep_topics

DAY_MS = topics.DAY_MS


def test_the_defaults_are_those_of_the_migrations() -> None:
    text = "".join(migration.template for migration in all_migrations())
    made = re.findall(
        r"CREATE TABLE IF NOT EXISTS \{database\}\.(\w+)\{local\}(?:(?!CREATE TABLE).)*?"
        r"TTL toDateTime\(ingested_at\) \+ INTERVAL (\d+) DAY",
        text,
        re.DOTALL,
    )
    assert dict(Keep().tables()) == {table: int(days) for table, days in made}


def test_dead_letters_are_not_kept_for_longer_than_two_weeks() -> None:
    assert [14, 7] == [Keep(logs_days=days).tables()["dead_letters_stored"] for days in (90, 7)]


def test_what_is_compacted_is_not_shortened() -> None:
    assert {"control", "health"}.isdisjoint(Keep().topics())
    assert (1, 2) == (Keep(1, 2).topics()["events"], Keep(1, 2).topics()["snapshots"])


# -- the real servers --------------------------------------------------------------------------------


def ttl(store: Any) -> dict[str, int]:
    """Days by table, as ClickHouse shows them."""
    return {
        table: int(re.findall(r"TTL toDateTime\(ingested_at\) \+ toIntervalDay\((\d+)\)", shown)[0])
        for table in Keep().tables()
        for ((shown,),) in [store.rows(f"SHOW CREATE TABLE {table}")]
    }


@pytest.mark.stack
def test_tables_follow_and_the_same_again_changes_nothing(store: Any) -> None:
    assert dict(Keep().tables()) == ttl(store)
    assert [] == keep_tables(store.client, store.settings, Keep())
    changed = keep_tables(store.client, store.settings, Keep(logs_days=7, snapshot_days=3))
    assert [
        "events_stored: 7 days (30 before)", "window_parts_stored: 7 days (30 before)",
        "five_minutes_stored: 7 days (30 before)", "run_hours_stored: 7 days (30 before)",
        "anomalies_stored: 7 days (30 before)", "dead_letters_stored: 7 days (14 before)",
        "snapshots_stored: 3 days (14 before)",
    ] == changed  # fmt: skip
    assert dict(Keep(7, 3).tables()) == ttl(store)
    assert [] == keep_tables(store.client, store.settings, Keep(logs_days=7, snapshot_days=3))
    assert 7 == len(keep_tables(store.client, store.settings, Keep()))


@pytest.mark.stack
def test_a_ttl_that_is_not_ours_or_none_is_replaced(store: Any) -> None:
    store.client.command("ALTER TABLE anomalies_stored MODIFY TTL toDateTime(ts) + INTERVAL 5 YEAR")
    store.client.command("ALTER TABLE dead_letters_stored REMOVE TTL")
    assert ["anomalies_stored: 30 days", "dead_letters_stored: 14 days"] == (
        keep_tables(store.client, store.settings, Keep())
    )


@pytest.mark.stack
def test_what_is_past_its_time_goes_and_the_rest_stays(store: Any, event_schema: AvroSchema, an_event: Any) -> None:
    store.insert("events_in", event_schema, [an_event(seq=seq) for seq in range(20)])
    store.client.command(
        "INSERT INTO events_stored SELECT * REPLACE ('old' AS run_id, ingested_at - INTERVAL 10 DAY AS ingested_at)"
        " FROM events_stored WHERE seq < 5"
    )
    keep_tables(store.client, store.settings, Keep(logs_days=11))
    store.client.command("OPTIMIZE TABLE events_stored FINAL")
    assert [("old", 5), ("r1", 20)] == store.rows("SELECT run_id, count() FROM events GROUP BY run_id ORDER BY run_id")
    keep_tables(store.client, store.settings, Keep(logs_days=9))
    store.client.command("OPTIMIZE TABLE events_stored FINAL")
    assert [("r1", 20)] == store.rows("SELECT run_id, count() FROM events GROUP BY run_id")


@pytest.mark.stack
def test_the_clusters_statement_is_well_formed(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # No cluster here to run it on; ClickHouse's own parser reads it.
    said: list[str] = []
    store.client.command("RENAME TABLE events_stored TO events_stored_local")
    command = store.client.command
    monkeypatch.setattr(store.client, "command", said.append)
    keep_tables(store.client, store.settings, Keep(logs_days=3), cluster="c 1")
    monkeypatch.setattr(store.client, "command", command)
    (statement,) = said
    assert f"ALTER TABLE `{store.settings.database}`.events_stored_local ON CLUSTER `c 1` MODIFY TTL" in statement
    assert "Alter" in store.client.raw_query(f"EXPLAIN AST {statement}").decode()


@pytest.fixture
def fleet(stack: Any) -> Iterator[Settings]:
    """Topics and a database of their own."""
    settings = stack.unique()
    topics.ensure_topics(settings.kafka, settings.prefix, partitions=1)
    yield settings
    connect(settings).command(f"DROP DATABASE IF EXISTS {settings.database}")


def kept_days(settings: Settings) -> dict[str, float]:
    """Days by topic's last word, as the broker says."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    names = {topic.full_name(settings.prefix): topic.name for topic in topics.ALL}
    asked = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
    return {names[one.name]: int(done.result()["retention.ms"].value) / DAY_MS for one, done in asked.items()}


@pytest.mark.stack
def test_topics_are_shortened_and_never_lengthened(fleet: Settings) -> None:
    before = kept_days(fleet)
    keep_topics(fleet, Keep())
    assert before == kept_days(fleet)
    keep_topics(fleet, Keep(logs_days=7, snapshot_days=2))
    after = kept_days(fleet)
    changed = {"anomalies": 7.0, "deadletter": 7.0, "snapshots": 2.0}
    assert before | changed == after
    keep_topics(fleet, Keep(logs_days=90, snapshot_days=90))
    assert after == kept_days(fleet)


@pytest.mark.stack
def test_topics_that_are_not_there_are_passed_over(stack: Any) -> None:
    settings = stack.unique()
    assert [] == topics.shorten(settings.kafka, settings.prefix, Keep(1, 1).topics())


def test_a_broker_that_is_away_is_told_of() -> None:
    with pytest.raises(topics.TopicsError, match="How long topics are kept could not be set on the broker at 127"):
        topics.shorten("127.0.0.1:1", "", Keep().topics(), timeout_s=1)


@pytest.mark.stack
def test_the_sink_sees_to_it_when_it_starts(fleet: Settings) -> None:
    client = connect(fleet)

    def made(keep: Keep) -> str:
        stop = threading.Event()
        sink = threading.Thread(target=run_sink, args=(fleet, stop), kwargs={"keep": keep})
        sink.start()
        # It is done with that before it consumes.
        stop.wait(3.0)
        stop.set()
        sink.join(timeout=60)
        ((shown,),) = client.query(f"SHOW CREATE TABLE {fleet.database}.events_stored").result_rows
        return str(shown)

    first = made(Keep(logs_days=5))
    assert "toIntervalDay(5)" in first
    version = "SELECT metadata_modification_time FROM system.tables WHERE name = 'events_stored' AND database = "
    modified = client.query(f"{version}'{fleet.database}'").result_rows
    assert first == made(Keep(logs_days=5))
    assert modified == client.query(f"{version}'{fleet.database}'").result_rows
    assert {5.0, 3.0} >= {kept_days(fleet)[name] for name in ("events", "anomalies")}
