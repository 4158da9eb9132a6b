"""Every query of docs/sql.md runs on the real tables, and every view the page names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runwatch.clickhouse import connect
from runwatch.sinks.migrate import migrate

pytestmark = pytest.mark.stack

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
VIEWS = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def client(stack: Any) -> Iterator[Any]:
    its = stack.unique()
    client = connect(its)
    migrate(client, its)
    client.database = its.database
    # One run with two events, in the table behind the views.
    for seq, kind, reason in ((0, "tool_result", "NULL"), (1, "stop", "'success'")):
        client.command(
            "INSERT INTO events_stored (event_id, run_id, seq, kind, ts, agent, agent_version, tool, args_sha, "
            f"status, stop_reason, ingested_at) VALUES ('e{seq}', 'r1', {seq}, '{kind}', now64(3), 'support', '1', "
            f"'http.get', 'a', 'ok', {reason}, now64(3))"
        )
    yield client
    client.command(f"DROP DATABASE {its.database}")
    client.close()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: " ".join(query.split())[:40])
def test_a_query_runs(client: Any, query: str) -> None:
    client.query(query)
    # Asked for by itself: an answer without rows comes without names.
    columns = [row[0] for row in client.query(f"DESCRIBE ({query})").result_rows]
    assert len(columns) == len(set(columns)) >= 3


def test_the_first_query_tells_a_runs_story(client: Any) -> None:
    assert [(0, "tool_result"), (1, "stop")] == [tuple(row[:2]) for row in client.query(QUERIES[0]).result_rows]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_columns_that_the_page_tells(client: Any, view: str) -> None:
    columns = set(client.query(f"SELECT * FROM {view} LIMIT 0").column_names)
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{view}` |")]
    named = set(re.findall(r"`(\w+)`", row.split("|")[3]))
    assert set() == named - columns


def test_the_page_names_every_view(client: Any) -> None:
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'")
    # That one is the common text of two others.
    assert {name for (name,) in rows.result_rows} - {"metrics_by_grain"} == set(VIEWS)
