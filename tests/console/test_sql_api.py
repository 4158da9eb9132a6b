"""SQL by the API, of a console in a process of its own: JSON, CSV, and what is refused with which status."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from runwatch.config import Settings

from ..stack.conftest import front_process
from .served import VIEWER, Served, serving
from .sql_store import fill


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("sql")
    with front_process(folder / "data", "--reader", "reader", reader_password="secret") as front:
        fill(Settings(clickhouse=front.url, home=folder))
        given = {"clickhouse": front.url, "sql_user": "reader", "sql_password": "secret"}
        with serving(folder / "home", **given) as found:
            yield found


@pytest.fixture
def client(console: Served) -> Iterator[httpx.Client]:
    with console.client(authorization=f"Bearer {VIEWER}") as found:
        yield found


def test_json(client: httpx.Client) -> None:
    answer = client.post("/api/sql", json={"query": "SELECT run_id, tool_calls FROM runs ORDER BY run_id", "limit": 2})
    assert 200 == answer.status_code
    found = answer.json()
    assert [["r0", 3], ["r1", 3]] == found["rows"]
    assert [{"name": "run_id", "type": "String"}, {"name": "tool_calls", "type": found["columns"][1]["type"]}] == (
        found["columns"]
    )
    assert found["cut"] is True


def test_csv(client: httpx.Client) -> None:
    query = "SELECT run_id, '=1' AS formula FROM runs ORDER BY run_id LIMIT 1"
    answer = client.post("/api/sql", json={"query": query, "limit": 1}, headers={"accept": "text/csv"})
    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/csv")
    assert "run_id,formula\r\nr0,'=1\r\n" == answer.text


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1 FOM runs", "Syntax error"),
        ("DROP TABLE runs", "Not enough privileges"),
        ("SELECT * FROM file('/etc/passwd')", "Not enough privileges"),
        ("", "nothing to ask"),
    ],
)
def test_errors_are_a_sentence_and_400(client: httpx.Client, query: str, said: str, accept: str) -> None:
    answer = client.post("/api/sql", json={"query": query}, headers={"accept": accept})
    assert 400 == answer.status_code
    assert said in answer.json()["error"]


def test_a_limit_that_is_none_is_refused(client: httpx.Client) -> None:
    assert 422 == client.post("/api/sql", json={"query": "SELECT 1", "limit": 0}).status_code


def test_the_views(client: httpx.Client) -> None:
    assert "runs" in {view["name"] for view in client.get("/api/sql/views").json()}


def test_a_download_that_nobody_began(client: httpx.Client) -> None:
    answer = client.get("/api/sql/exports/guessed.csv")
    assert 404 == answer.status_code
    assert "over" in answer.json()["error"]


def test_clickhouse_away_is_503(tmp_path_factory: pytest.TempPathFactory) -> None:
    given = {"sql_user": "reader", "sql_password": "secret"}
    with (
        serving(tmp_path_factory.mktemp("away"), **given) as console,
        console.client(authorization=f"Bearer {VIEWER}") as client,
    ):
        answer = client.post("/api/sql", json={"query": "SELECT 1"})
        assert 503 == answer.status_code
        assert "is it up" in answer.json()["error"]


def test_without_a_reading_user_it_is_off(served: Served) -> None:
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        answer = client.post("/api/sql", json={"query": "SELECT 1"})
    assert 400 == answer.status_code
    assert "RUNWATCH_SQL_USER" in answer.json()["error"]


def test_nobody_asks_without_a_token(console: Served) -> None:
    with console.client() as client:
        assert 401 == client.post("/api/sql", json={"query": "SELECT 1"}).status_code
