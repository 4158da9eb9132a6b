"""Brings ClickHouse's tables up to date: runs the numbered migrations that it has not seen."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from ..clickhouse import told
from ..config import Settings
from .ddl import Layout, literal, quoted, statements

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    template: str


def all_migrations() -> list[Migration]:
    """The migrations that come with this version, by number."""
    found = [
        Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8"))
        for entry in files(__package__).joinpath("migrations").iterdir()
        if (match := _NAME.fullmatch(entry.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


def applied(client: Client, layout: Layout) -> set[int]:
    """Numbers of the migrations that ClickHouse has seen."""
    rows = client.query(f"SELECT DISTINCT number FROM {_record(layout)}").result_rows
    return {int(row[0]) for row in rows}


def migrate(
    client: Client, settings: Settings, *, cluster: str | None = None, stop: threading.Event | None = None
) -> list[str]:
    """Applies what is missing and returns the names of what it applied. Raises `StoreError`.

    Each statement can be repeated, and a migration is recorded after its last: one that died half-way is run
    again, and two that run at a time do each other no harm. Given `stop`, ends between two migrations.
    """
    layout = Layout(settings.database, cluster)
    done: list[str] = []
    with told(settings):
        for statement in _record_table(layout):
            client.command(statement)
        seen = applied(client, layout)
        for migration in all_migrations():
            if migration.number in seen or (stop is not None and stop.is_set()):
                continue
            for statement in statements(migration.template, layout):
                client.command(statement)
            client.command(
                f"INSERT INTO {_record(layout)} (number, name) VALUES ({migration.number}, {literal(migration.name)})"
            )
            done.append(f"{migration.number:04}_{migration.name}")
    if done:
        log.info("database %s: applied %s", settings.database, ", ".join(done))
    return done


def _record(layout: Layout) -> str:
    return f"{quoted(layout.database)}.schema_migrations"


def _record_table(layout: Layout) -> list[str]:
    """Makes the database and the table of what was applied; two runs at a time may record one twice."""
    return statements(
        "CREATE DATABASE IF NOT EXISTS {database} {on_cluster};\n"
        "CREATE TABLE IF NOT EXISTS {database}.schema_migrations{local} {on_cluster}\n"
        "(number UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))\n"
        "ENGINE = {replacing(applied_at)} ORDER BY number;\n"
        "{distributed(schema_migrations, number)}",
        layout,
    )
