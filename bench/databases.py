"""The bench's view of ClickHouse: databases made and dropped, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..clickhouse import connect
from ..config import Settings
from ..sinks.ddl import quoted
from ..sinks.migrate import migrate

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@contextmanager
def database(settings: Settings) -> Iterator[Client]:
    """Makes the tables in the database of `settings`, and drops all of it in the end."""
    client = connect(settings)
    name = quoted(settings.database)
    try:
        migrate(client, settings)
        yield client
    finally:
        client.command(f"DROP DATABASE IF EXISTS {name}")
        client.close()


def events_in(client: Client, settings: Settings) -> tuple[int, int, int]:
    """Events as people see them (each once), rows as they lie there, and inserts that brought them."""
    name = quoted(settings.database)
    (distinct,) = client.query(f"SELECT count() FROM {name}.events").result_rows[0]
    # Every insert has a time of its own.
    rows, inserts = client.query(f"SELECT count(), uniqExact(ingested_at) FROM {name}.events_stored").result_rows[0]
    return int(distinct), int(rows), int(inserts)


def bytes_in(client: Client, settings: Settings) -> int:
    """What the stored events take on disk."""
    (size,) = client.query(
        "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {name:String} "
        "AND table = 'events_stored'",
        parameters={"name": settings.database},
    ).result_rows[0]
    return int(size or 0)
