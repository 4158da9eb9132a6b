"""The users of a real server: each statement's rights, given to the engine's one user, who then does the work."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from runwatch.sinks.ddl import Layout, statements
from runwatch.sinks.migrate import all_migrations

from .test_clickhouse_reader import FOLDER, engine

SQL = (FOLDER / "users.sql").read_text()
EVENTS = "events_stored"
PRIVILEGES = re.compile("Not enough privileges")
Ask = Callable[..., list[str]]


def rights(user: str) -> list[str]:
    found = re.findall(rf"^GRANT ([^;]*?) TO {user};$", SQL, re.MULTILINE)
    assert found
    return [" ".join(one.split()) for one in found]


def engine_as(user: str, database: Path, folder: Path) -> Ask:
    """Asks an engine whose one user has these rights and no others."""
    grants = "".join(f"<query>GRANT {escape(one)}</query>" for one in rights(user))
    (folder / "users.xml").write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>"
        "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants>{grants}</grants></default></users></clickhouse>"
    )
    (folder / "config.xml").write_text(f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>")
    return lambda *asked: engine(database, folder / "config.xml", list(asked))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The database as the sink's user makes it, and what was said to each statement."""
    path = tmp_path_factory.mktemp("data")
    assert [""] == engine(path, None, ["CREATE DATABASE other"])
    layout = Layout("runwatch")
    asked = [
        "CREATE DATABASE IF NOT EXISTS runwatch",
        *(one for migration in all_migrations() for one in statements(migration.template, layout)),
    ]
    sink = engine_as("runwatch_sink", path, tmp_path_factory.mktemp("sink"))
    return path, sink(
        *asked,
        f"ALTER TABLE runwatch.{EVENTS} MODIFY TTL toDateTime(ingested_at) + INTERVAL 7 DAY",
        "SELECT count() FROM runwatch.runs",
        "SELECT name, create_table_query FROM system.tables WHERE database = 'runwatch' FORMAT Null",
    )


def test_the_sink_makes_everything_that_it_needs(made: tuple[Path, list[str]]) -> None:
    _, said = made
    assert [] == [one for one in said if one.startswith("refused")]
    assert "0" == said[-2]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE other.t (a Int8) ENGINE = Memory",
        "CREATE DATABASE third",
        "DROP DATABASE runwatch",
        "CREATE USER me",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT * FROM file('/etc/passwd', CSV, 'a String')",
        "SYSTEM SHUTDOWN",
    ],
)
def test_the_sink_does_nothing_else(made: tuple[Path, list[str]], tmp_path: Path, sql: str) -> None:
    (said,) = engine_as("runwatch_sink", made[0], tmp_path)(sql)
    assert PRIVILEGES.search(said), said


def test_who_looks_only_reads(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    ask = engine_as("runwatch_views", made[0], tmp_path)
    said = ask(
        "SELECT count() FROM runwatch.runs",
        "SELECT count() FROM runwatch.anomaly_history",
        "SELECT toInt8(count() > 0) FROM system.disks",
        "SELECT toInt8(count() >= 0) FROM system.parts",
        "CREATE TABLE runwatch.mine (a Int8) ENGINE = Memory",
        f"ALTER TABLE runwatch.{EVENTS} DELETE WHERE 1",
        f"DROP TABLE runwatch.{EVENTS}",
        "CREATE TABLE other.t (a Int8) ENGINE = Memory",
    )
    assert ["0", "0", "1", "1"] == said[:4]
    assert ["Not enough privileges"] * 4 == [one for all_ in said[4:] for one in PRIVILEGES.findall(all_)[:1]]
