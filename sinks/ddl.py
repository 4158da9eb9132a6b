"""Migrations' SQL from their templates: the same text makes single-node and cluster DDL.

Placeholders: `{database}`, `{sentinel}`, and those that differ between the two forms:

| placeholder | single node | cluster C |
|---|---|---|
| `{on_cluster}` | nothing | `ON CLUSTER C` |
| `{local}` | nothing | `_local`: the name's ending of the table that holds a node's own rows |
| `{replacing(version)}` | `ReplacingMergeTree(version)` | `ReplicatedReplacingMergeTree(…, version)` |
| `{aggregating}` | `AggregatingMergeTree` | `ReplicatedAggregatingMergeTree(…)` |
| `{distributed(table, key)}` | no statement | the `Distributed` table over every node's `table_local` |
| `{global}` | nothing | `GLOBAL `, before a JOIN |

Braces with a colon, such as `{run:String}`, are ClickHouse's own query parameters and stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..schemas.container import SENTINEL

# {uuid} is the table's own, the same on every node for one ON CLUSTER statement.
_REPLICA = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'"
_PLACEHOLDER = re.compile(r"\{(\w+)(?:\(([^{}]*)\))?\}")
_COMMENT = re.compile(r"(?m)^\s*--.*\n?")
_STATEMENT_END = re.compile(r";[ \t]*(?:\n|$)")


@dataclass(frozen=True)
class Layout:
    """Where the tables are made."""

    database: str = "runwatch"
    cluster: str | None = None
    """Name of a ClickHouse cluster with macros `{shard}` and `{replica}`; None for a single node."""


def quoted(name: str) -> str:
    """A name as an SQL identifier, whatever letters it is made of."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A text as an SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def statements(template: str, layout: Layout) -> list[str]:
    """The statements of one migration file, filled in, in their order.

    A statement ends with a semicolon at a line's end. Raises `KeyError` for a placeholder there is none of.
    """
    filled = _PLACEHOLDER.sub(lambda match: _fill(match[1], match[2], layout), template)
    return [text for part in _STATEMENT_END.split(_COMMENT.sub("", filled)) if (text := part.strip())]


def _fill(name: str, argument: str | None, layout: Layout) -> str:
    cluster = layout.cluster
    if argument is None:
        return {
            "database": quoted(layout.database),
            "sentinel": str(SENTINEL),
            "on_cluster": f"ON CLUSTER {quoted(cluster)}" if cluster else "",
            "local": "_local" if cluster else "",
            "global": "GLOBAL " if cluster else "",
            "aggregating": f"ReplicatedAggregatingMergeTree({_REPLICA})" if cluster else "AggregatingMergeTree",
        }[name]
    if name == "replacing":
        if not cluster:
            return f"ReplacingMergeTree({argument})"
        return f"ReplicatedReplacingMergeTree({_REPLICA}, {argument})"
    if name == "distributed":
        if not cluster:
            return ""
        table, key = (part.strip() for part in argument.split(",", 1))
        database = quoted(layout.database)
        return (
            f"CREATE TABLE IF NOT EXISTS {database}.{table} ON CLUSTER {quoted(cluster)} AS {database}.{table}_local\n"
            f"ENGINE = Distributed({literal(cluster)}, {literal(layout.database)}, {literal(table + '_local')}, {key});"
        )
    raise KeyError(name)
