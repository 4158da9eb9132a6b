"""Migrations that are cut off: wherever it happens, the next start brings the tables to what a clean run makes.

A client that dies after the nth statement stands for a sink that was killed, or a ClickHouse that went away, there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.schemas.avro import AvroSchema, make_schema
from runwatch.schemas.container import pack
from runwatch.schemas.wire import encode
from runwatch.sinks import migrate as migrate_module
from runwatch.sinks.ddl import Layout, quoted, statements
from runwatch.sinks.insert import ClickHouseLanding
from runwatch.sinks.lead import lead_bodies, lead_bytes
from runwatch.sinks.migrate import Migration, all_migrations, applied, migrate
from runwatch.sinks.routes import LEAD

pytestmark = pytest.mark.stack
BEFORE = 2
"""Statements before the first migration: the database, and the table of what was applied."""
Make = Callable[..., Any]


class Died(Exception):
    """The process is gone."""


class Mortal:
    """A client that dies when it has done so many statements."""

    def __init__(self, client: Any, statements: int) -> None:
        self._client = client
        self._left = statements

    def command(self, statement: str, **more: Any) -> Any:
        if self._left == 0:
            raise Died
        self._left -= 1
        return self._client.command(statement, **more)

    def query(self, *arguments: Any, **more: Any) -> Any:
        return self._client.query(*arguments, **more)


@contextmanager
def database(stack: Any) -> Iterator[tuple[Settings, Any]]:
    its = stack.unique()
    client = connect(its)
    try:
        yield its, client
    finally:
        client.command(f"DROP DATABASE IF EXISTS {quoted(its.database)}")
        client.close()


def tables(client: Any, its: Settings) -> dict[str, str]:
    """How every table was made, as ClickHouse tells it."""
    rows = client.query(
        f"SELECT name, create_table_query FROM system.tables WHERE database = '{its.database}'"
    ).result_rows
    return {name: re.sub(its.database, "DB", query) for name, query in rows}


def put(client: Any, its: Settings, schema: AvroSchema, events: list[dict[str, Any]], first: int) -> None:
    """Stores events as a sink does."""
    values = [encode(event, schema, schema.schema_id) for event in events]
    offsets = list(range(first, first + len(values)))
    bodies = lead_bodies(lead_bytes(1, 0), offsets, values, 5)
    ClickHouseLanding(its, client).insert("events_in", pack(bodies, schema, LEAD))


def test_a_first_start_may_be_cut_off_after_any_statement(stack: Any, event_schema: AvroSchema, an_event: Make) -> None:
    with database(stack) as (clean, client):
        migrate(client, clean)
        expected = tables(client, clean)
    numbers = {migration.number for migration in all_migrations()}
    cuts = 0
    with database(stack) as (its, client):
        stored = 0
        # Starts that came so far into the migration after the nth.
        come: Counter[int] = Counter()
        for cuts in range(500):
            seen = len(applied(client, Layout(its.database))) if cuts > BEFORE else 0
            try:
                # Each gets one statement further than the one before it, which began its migration anew: so each
                # statement is once the last that was done.
                migrate(Mortal(client, cuts if cuts < BEFORE else BEFORE + come[seen]), its)
                break
            except Died:
                come[seen] += cuts >= BEFORE
            if "events_fill" in tables(client, its):
                # A sink of the version before goes on meanwhile.
                put(client, its, event_schema, [an_event(seq=stored, event_id=f"e{stored}")], stored)
                stored += 1
        assert expected == tables(client, its)
        assert numbers == applied(client, Layout(its.database))
        client.database = its.database
        seqs = list(range(stored))
        assert seqs == [row[0] for row in client.query("SELECT seq FROM events ORDER BY seq").result_rows]
        assert [(stored, 0)] == [
            tuple(row) for row in client.query("SELECT events, missing_events FROM runs").result_rows
        ]
        assert [("support", 1)] == [
            tuple(row) for row in client.query("SELECT agent, count() FROM run_hours GROUP BY agent").result_rows
        ]
    layout = Layout("x")
    # Of each migration: none of its statements, one more each time, and the note that it was applied.
    assert BEFORE + sum(len(statements(one.template, layout)) + 2 for one in all_migrations()) - 1 == cuts


def next_release(name: str) -> Migration:
    """A migration as a later version may bring: a column more in a table, its landing, the view between and on top."""
    number = max(migration.number for migration in all_migrations()) + 1
    return Migration(
        number,
        name,
        """
ALTER TABLE {database}.events_stored{local} {on_cluster} ADD COLUMN IF NOT EXISTS region Nullable(String);

ALTER TABLE {database}.events_in {on_cluster} ADD COLUMN IF NOT EXISTS region Nullable(String) AFTER labels;

ALTER TABLE {database}.events_fill {on_cluster} MODIFY QUERY
SELECT
    event_id, run_id, parent_run_id, seq, kind, ts_ms AS ts, agent, agent_version, model, prompt_sha, tools_sha,
    step_id, tool, args_sha, result_sha, duration_ms, status, error, attempt, http_status, stop_reason, outcome,
    input_tokens, output_tokens, cost_usd, tool_calls, labels, region,
    kafka_source, kafka_partition, kafka_offset, now64(3) AS ingested_at
FROM {database}.events_in;

CREATE OR REPLACE VIEW {database}.events_of_region {on_cluster} AS
SELECT event_id, seq, region FROM {database}.events_stored FINAL;
""",
    )


def test_an_upgrade_while_sinks_of_both_versions_store(
    stack: Any, event_schema: AvroSchema, an_event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = {**event_schema.raw, "fields": [*event_schema.raw["fields"]]}
    raw["fields"].append({"name": "region", "type": ["null", "string"], "default": None})
    newer = make_schema("agent_event", raw)
    step = next_release("region")
    with database(stack) as (its, client):
        migrate(client, its)
        before = all_migrations()
        monkeypatch.setattr(migrate_module, "all_migrations", lambda: [*before, step])
        sent: list[tuple[int, str | None]] = []

        def both() -> None:
            """An agent of each version sends, and a sink of either stores what it is sent."""
            for schema, region in ((event_schema, None), (newer, "eu")):
                at = len(sent)
                event = an_event(seq=at, event_id=f"e{at}") | ({"region": region} if region else {})
                put(client, its, schema, [event], at)
                sent.append((at, region))

        both()
        for done in range(len(statements(step.template, Layout(its.database))) + 1):
            with pytest.raises(Died):
                migrate(Mortal(client, BEFORE + done), its)
            both()
        migrate(client, its)
        both()
        # Back to the version before: its sink finds tables that know more than it does, and goes on.
        monkeypatch.setattr(migrate_module, "all_migrations", lambda: before)
        assert [] == migrate(client, its)
        both()
        client.database = its.database
        rows = [tuple(row) for row in client.query("SELECT seq, region FROM events_of_region ORDER BY seq").result_rows]
        assert [at for at, _ in sent] == [seq for seq, _ in rows]
        # What came before the table had the column has nothing in it; nothing else is missing.
        assert rows[-4:] == sent[-4:]
        assert {None, "eu"} == {region for _, region in rows}
