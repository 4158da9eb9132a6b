"""One text, two forms of DDL."""

from __future__ import annotations

import pytest

from runwatch.schemas.container import SENTINEL
from runwatch.sinks.ddl import Layout, literal, quoted, statements
from runwatch.sinks.migrate import all_migrations

TABLE = """
-- A comment; with a semicolon.
CREATE TABLE {database}.t{local} {on_cluster} (a Int64 CHECK a = {sentinel}) ENGINE = {replacing(a)};
{distributed(t, cityHash64(a, 'x'))}
SELECT {run:String} {global}JOIN;
"""


def test_a_single_node_has_one_table() -> None:
    assert [
        f"CREATE TABLE `db`.t  (a Int64 CHECK a = {SENTINEL}) ENGINE = ReplacingMergeTree(a)",
        "SELECT {run:String} JOIN",
    ] == statements(TABLE, Layout("db"))


def test_a_cluster_has_a_table_on_each_node_and_one_over_all() -> None:
    local, over_all, _ = statements(TABLE, Layout("db", "c1"))
    assert local.startswith("CREATE TABLE `db`.t_local ON CLUSTER `c1`")
    assert "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', a)" in local
    assert over_all.startswith("CREATE TABLE IF NOT EXISTS `db`.t ON CLUSTER `c1` AS `db`.t_local")
    assert over_all.endswith("ENGINE = Distributed('c1', 'db', 't_local', cityHash64(a, 'x'))")


def test_an_unknown_placeholder_is_an_error() -> None:
    with pytest.raises(KeyError):
        statements("SELECT {wrong}", Layout())


@pytest.mark.parametrize(
    ("text", "name", "string"),
    [("a", "`a`", "'a'"), ("a`b'c", r"`a\`b'c`", r"'a`b\'c'"), ("a\\", r"`a\\`", r"'a\\'")],
)
def test_names_and_strings_cannot_break_out(text: str, name: str, string: str) -> None:
    assert name == quoted(text)
    assert string == literal(text)


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [migration.number for migration in all_migrations()]
    assert list(range(1, len(numbers) + 1)) == numbers


@pytest.mark.parametrize("cluster", [None, "c1"])
def test_every_statement_can_be_repeated(cluster: str | None) -> None:
    for migration in all_migrations():
        for statement in statements(migration.template, Layout("db", cluster)):
            if statement.startswith("INSERT INTO"):
                # Minima and maxima are the same however often they are put in; the tables over all nodes are asked.
                assert "`db`.run_hours_stored" in statement
                continue
            # What fills a table is exchanged for another, in one step; the same again changes nothing.
            exchanged = statement.startswith("CREATE OR REPLACE VIEW") or " MODIFY QUERY\n" in statement
            assert "IF NOT EXISTS" in statement or exchanged, statement
            assert bool(cluster) == ("ON CLUSTER" in statement), statement
