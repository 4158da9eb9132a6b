"""Asks ClickHouse: which version it is, how far its tables are, how much room there is, what its clock says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...clickhouse import StoreError, StoreMissing, connect, told
from ...config import Settings
from ...schemas.avro import load
from ...sinks.ddl import Layout, literal
from ...sinks.migrate import all_migrations, applied
from .clock import skew
from .finding import Finding, away, error, note, ok, room, warning

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

ANSWER_S = 10.0
OLDEST = (24, 8)
"""The oldest ClickHouse that is known to take the tables and views."""
LANDINGS: Mapping[str, str] = {
    "events_in": "agent_event",
    "window_parts_in": "window_part",
    "anomalies_in": "anomaly",
    "control_in": "control",
    "snapshots_in": "snapshot",
}
"""Tables that messages go into as they are, and the schema that each has the fields of."""
MANY_PARTS = 1_000
"""Parts of one partition from which inserts are soon slowed down; ClickHouse's own limit is 3,000."""


def look(settings: Settings) -> Iterator[Finding]:
    """Findings on ClickHouse; one alone where it does not answer."""
    where = settings.clickhouse
    try:
        client = connect(settings, timeout_s=ANSWER_S)
    except StoreError as failed:
        yield away("clickhouse", where, str(failed), "start it, or set RUNWATCH_CLICKHOUSE and its user")
        return
    try:
        for check in (_version, _clock, _disks, _tables, _parts):
            try:
                with told(settings):
                    yield from check(client, settings)
            except StoreMissing as failed:
                yield error("tables", where, str(failed), "start `runwatch sink`, which makes what is missing")
            except StoreError as failed:
                yield note(
                    "clickhouse", where, str(failed), "let RUNWATCH_CLICKHOUSE_USER read ClickHouse's system tables"
                )
    finally:
        client.close()


def _version(client: Client, settings: Settings) -> Iterator[Finding]:
    version = str(client.query("SELECT version()").result_rows[0][0])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield error("clickhouse", settings.clickhouse, f"is ClickHouse {version}", f"upgrade it to {oldest} or newer")
    else:
        yield ok("clickhouse", settings.clickhouse, f"is ClickHouse {version}")


def _clock(client: Client, settings: Settings) -> Iterator[Finding]:
    before_ms = time.time() * 1000
    there_ms = int(client.query("SELECT toUnixTimestamp64Milli(now64(3))").result_rows[0][0])
    after_ms = time.time() * 1000
    yield skew(settings.clickhouse, there_ms - (before_ms + after_ms) / 2, (after_ms - before_ms) / 2)


def _disks(client: Client, settings: Settings) -> Iterator[Finding]:
    rows = client.query("SELECT name, path, free_space, total_space, keep_free_space FROM system.disks").result_rows
    for name, path, free, total, kept in rows:
        if total >= 2**63:  # an object store tells no end
            continue
        yield room(
            "disk",
            f"ClickHouse's disk {name} ({path})",
            max(0, free - kept),
            total,
            "make room, or have less kept: `retention` of the config file; while it is full the sink waits",
        )


def _tables(client: Client, settings: Settings) -> Iterator[Finding]:
    yield from of_migrations(
        settings.database,
        {one.number: f"{one.number:04}_{one.name}" for one in all_migrations()},
        applied(client, Layout(settings.database)),
    )
    rows = client.query(
        f"SELECT table, name FROM system.columns WHERE database = {literal(settings.database)}"
        f" AND table IN ({', '.join(map(literal, LANDINGS))})"
    ).result_rows
    yield from of_columns(settings.database, rows)


def of_migrations(database: str, ours: Mapping[int, str], seen: set[int]) -> Iterator[Finding]:
    """Findings on which migrations a database has seen."""
    missing = [name for number, name in sorted(ours.items()) if number not in seen]
    newer = sorted(seen - set(ours))
    if missing:
        yield error(
            "tables",
            f"database {database}",
            f"lacks {', '.join(missing)}",
            "start `runwatch sink` of this version; a migration that was cut off is run again from its beginning",
        )
    if newer:
        yield note(
            "tables",
            f"database {database}",
            f"is of a newer version: it has migrations up to {newer[-1]:04}, and this runwatch knows {max(ours):04}",
            "upgrade this one too; until then it reads and writes what it knows",
        )
    if not missing and not newer:
        yield ok("tables", f"database {database}", f"all {len(ours)} migrations are applied")


def of_columns(database: str, rows: Sequence[Sequence[Any]]) -> Iterator[Finding]:
    """Findings on (table, column) rows: whether each landing has the fields of its messages."""
    have = {(str(table), str(column)) for table, column in rows}
    for table, schema in LANDINGS.items():
        if not any(one == table for one, _ in have):
            continue  # a migration is missing, which is told
        missing = [name for name in load(schema).field_names if (table, name) not in have]
        if missing:
            yield error(
                "schemas",
                f"{database}.{table}",
                f"has no column for {', '.join(missing)}: these fields are not stored",
                "start `runwatch sink` of this version, which adds them",
            )


def _parts(client: Client, settings: Settings) -> Iterator[Finding]:
    rows = client.query(
        "SELECT table, max(parts) FROM (SELECT table, partition, count() AS parts FROM system.parts"
        f" WHERE active AND database = {literal(settings.database)} GROUP BY table, partition)"
        f" GROUP BY table HAVING max(parts) >= {MANY_PARTS} ORDER BY table"
    ).result_rows
    for table, parts in rows:
        yield warning(
            "tables",
            f"{settings.database}.{table}",
            f"has {parts:,} parts in one partition: merges are behind inserts, which ClickHouse will slow down",
            "see whether ClickHouse lacks disk, memory or cores for its merges (system.merges)",
        )
