"""The reading user of a real server: its files, read by the engine itself, which then acts as that user."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from runwatch.endpoints import SQL_USER
from runwatch.sinks.ddl import Layout, statements
from runwatch.stack.clickhouse.reading import FIXED, LIMITS

Ask = Callable[..., list[str]]
"""What the engine says to statements, in their order."""

FOLDER = Path(__file__).parents[2] / "deploy" / "clickhouse"
XML = FOLDER / "runwatch_reader.xml"
SQL = FOLDER / "reader.sql"

# The engine as a library logs everybody in as `default`; so that user is made what the file makes of the reader.
AS_READER = """
import json, sys
import chdb
path, config, statements = json.load(sys.stdin)
connection = chdb._chdb.connect(path + (f"?config-file={config}" if config else ""))
said = []
for sql in statements:
    try:
        said.append(connection.query(sql, "TabSeparated").bytes().decode().strip())
    except RuntimeError as error:
        said.append(f"refused: {error}")
print(json.dumps(said))
connection.close()
"""


def engine(path: Path, config: Path | None, statements: list[str]) -> list[str]:
    """What a fresh engine says to each of `statements`."""
    done = subprocess.run(
        [sys.executable, "-c", AS_READER],
        input=json.dumps([str(path), str(config) if config else None, statements]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    said: list[str] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data: runwatch's database and another."""
    path = tmp_path_factory.mktemp("data")
    made = engine(
        path,
        None,
        [
            "CREATE DATABASE runwatch",
            "CREATE TABLE runwatch.t (a Int32) ENGINE = ReplacingMergeTree ORDER BY a",
            "INSERT INTO runwatch.t SELECT number FROM numbers(100000)",
            "CREATE VIEW runwatch.v AS SELECT * FROM runwatch.t FINAL",
            "CREATE DATABASE other",
            "CREATE TABLE other.t (a Int32) ENGINE = MergeTree ORDER BY a",
        ],
    )
    assert [""] * 6 == made
    return path


def engine_as_reader(database: Path, folder: Path, readonly: str = "1") -> Ask:
    """Asks an engine whose one user is the reader.

    The engine as a library does not know constraints that hold in readonly mode, so they are looked at with another.
    """
    tree = ElementTree.parse(XML).getroot()
    user, profiles, profile, password = (
        tree.find(path)
        for path in (f"users/{SQL_USER}", "profiles", f"profiles/{SQL_USER}", f"users/{SQL_USER}/password")
    )
    assert user is not None and profiles is not None and profile is not None and password is not None
    user.tag = "default"
    password.attrib.clear()
    profiles.append(ElementTree.fromstring("<default/>"))
    tree.append(ElementTree.fromstring("<quotas><default/></quotas>"))
    for constraint in profile.find("constraints") or ():
        constraint[:] = [each for each in constraint if each.tag != "changeable_in_readonly"]
    stands = profile.find("readonly")
    assert stands is not None and "1" == stands.text
    stands.text = readonly
    (folder / "users.xml").write_bytes(ElementTree.tostring(tree))
    (folder / "config.xml").write_text(f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>")
    return lambda *asked: engine(database, folder / "config.xml", list(asked))


@pytest.fixture(scope="module")
def as_reader(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    return engine_as_reader(database, tmp_path_factory.mktemp("config"))


def test_it_reads_runwatchs_database(as_reader: Ask) -> None:
    assert ["100000", "t\nv", "a\tInt32"] == as_reader(
        "SELECT count() FROM runwatch.v", "SHOW TABLES FROM runwatch", "DESCRIBE runwatch.v"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM other.t",
        "INSERT INTO runwatch.t VALUES (1)",
        "ALTER TABLE runwatch.t DELETE WHERE 1",
        "DROP TABLE runwatch.t",
        "CREATE TABLE runwatch.x (a Int8) ENGINE = Memory",
        "TRUNCATE TABLE runwatch.t",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT * FROM file('/etc/passwd', CSV, 'a String')",
        "SELECT * FROM remote('127.0.0.1', other.t)",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/k', CSV, 'a String')",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM executable('id', CSV, 'a String')",
        "SET readonly = 0",
        "SET max_execution_time = 1000",
        "SET max_memory_usage = 0",
        "SET max_result_rows = 0",
        "SET result_overflow_mode = 'throw'",
        "SELECT 1 SETTINGS max_execution_time = 1000",
        "SYSTEM FLUSH LOGS",
        "SHOW CREATE TABLE other.t",
        "CREATE USER x",
        "GRANT ALL ON *.* TO default",
    ],
)
def test_it_may_do_nothing_else(as_reader: Ask, sql: str) -> None:
    (said,) = as_reader(sql)
    assert said.startswith("refused: "), said
    assert any(code in said for code in ("ACCESS_DENIED", "READONLY", "SETTING_CONSTRAINT_VIOLATION")), said


def test_it_may_ask_for_less_and_for_an_export_of_a_minute(database: Path, tmp_path: Path) -> None:
    allowed = "SET max_execution_time = 60, max_result_rows = 100"
    said = engine_as_reader(database, tmp_path, readonly="2")(
        allowed,
        "SELECT getSetting('max_execution_time')",
        *(f"SET {name} = {value}" for name, limit in LIMITS.items() for value in (0, limit.highest + 1)),
    )
    assert ["", "60"] == said[:2]
    assert all("SETTING_CONSTRAINT_VIOLATION" in each for each in said[2:]), said


def test_its_limits_are_those_of_the_local_stacks_reader(as_reader: Ask) -> None:
    wanted = {name: str(limit.usual) for name, limit in LIMITS.items()} | dict(FIXED)
    del wanted["max_threads"]  # a server of its own has its cores to itself
    said = as_reader(*(f"SELECT toString(getSetting('{name}'))" for name in wanted))
    assert [*wanted.values()] == said


def test_the_password_comes_from_the_environment() -> None:
    user = ElementTree.parse(XML).getroot().find(f"users/{SQL_USER}/password")
    assert user is not None
    assert {"from_env": "RUNWATCH_SQL_PASSWORD"} == user.attrib


def test_the_statements_make_the_same_user(database: Path) -> None:
    made = statements(SQL.read_text(), Layout())
    assert ["CREATE SETTINGS PROFILE", "CREATE USER", "GRANT SELECT, SHOW"] == [
        " ".join(text.split()[: 3 if "PROFILE" in text[:30] or "GRANT" in text[:5] else 2]) for text in made
    ]
    # The engine as a library stores no users: it reads the statements, and that is all.
    assert all(not said.startswith("refused") for said in engine(database, None, [f"EXPLAIN AST {x}" for x in made]))
    profile = ElementTree.parse(XML).getroot().find(f"profiles/{SQL_USER}")
    assert profile is not None
    for setting in profile:
        if setting.tag != "constraints":
            value = setting.text if (setting.text or "").isdecimal() else f"'{setting.text}'"
            assert f"{setting.tag} = {value}" in made[0]
    constraints = profile.find("constraints")
    assert constraints is not None
    for each in constraints:
        assert f"MIN 1 MAX {each.findtext('max')} CHANGEABLE_IN_READONLY" in made[0].split(each.tag)[1].split(",")[0]
    grant = ElementTree.parse(XML).getroot().findtext(f"users/{SQL_USER}/grants/query")
    assert f"{grant} TO {SQL_USER}" == made[2]
