"""People's queries, against a real front with a reading user: what they give, where they are cut, how they end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest

from runwatch.clickhouse import StoreAway, StoreDenied
from runwatch.config import Settings
from runwatch.console.ask.sql import BYTES, OFF, ROWS, Result, SqlDesk, Started, Tickets, csv_cell, views
from runwatch.console.ask.sql_examples import EXAMPLES
from runwatch.console.ask.sql_wire import SqlError, SqlStopped, understood
from runwatch.sinks.query import Reader

from ..stack.conftest import front_process
from .sql_store import fill

SLOW = "SELECT sum(sipHash64(hex(MD5(toString(number))))) FROM numbers(1900000000)"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("sql")
    with front_process(folder / "data", "--reader", "reader", reader_password="secret") as front:
        found = Settings(clickhouse=front.url, sql_user="reader", sql_password="secret", home=folder)
        fill(found)
        yield found


@pytest.fixture
def desk(settings: Settings) -> Iterator[SqlDesk]:
    made = SqlDesk(settings)
    yield made
    made.close()


def asked(desk: SqlDesk, sql: str, rows: int = ROWS) -> Result:
    return desk.query(sql, rows).run()


def exported(desk: SqlDesk, sql: str, rows: int = 1_000_000) -> bytes:
    export = desk.export(sql, rows)
    return b"".join(iter(export.piece, None))


def test_columns_rows_and_what_it_cost(desk: SqlDesk) -> None:
    result = asked(desk, "SELECT run_id, tool_calls, stop_reason FROM runs ORDER BY run_id LIMIT 2")
    assert ["run_id", "tool_calls", "stop_reason"] == [column.name for column in result.columns]
    assert "String" == result.columns[0].type
    assert [["r0", 3, "success"], ["r1", 3, "success"]] == result.rows
    assert not result.cut and result.why_cut is None
    assert result.elapsed_ms > 0
    assert result.read_rows and result.read_rows > 0


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE runs", "EXPLAIN SELECT 1", "SELECT 1;", "SELECT 1 -- end"])
def test_every_kind_of_statement_gives_rows(desk: SqlDesk, sql: str) -> None:
    assert asked(desk, sql).rows


def test_values_of_every_kind(desk: SqlDesk) -> None:
    sql = "SELECT 18446744073709551615, nan, NULL, [1, 2], (1, 'x'), map('a', 1), toDateTime64('2026-01-01', 3, 'UTC')"
    (row,) = asked(desk, sql).rows
    assert [18446744073709551615, None, None, [1, 2], [1, "x"], {"a": 1}, "2026-01-01 00:00:00.000"] == row


def test_nothing_found_still_has_columns(desk: SqlDesk) -> None:
    result = asked(desk, "SELECT run_id FROM runs WHERE run_id = 'no such run'")
    assert ("run_id", []) == (result.columns[0].name, result.rows)


def test_a_long_result_is_cut_and_says_so(desk: SqlDesk) -> None:
    result = asked(desk, "SELECT number FROM numbers(1000000)")
    assert ROWS == len(result.rows)
    assert result.cut
    assert "first 10,000 rows" in (result.why_cut or "")
    exact = asked(desk, f"SELECT number FROM numbers({ROWS})")
    assert (ROWS, False) == (len(exact.rows), exact.cut)


def test_a_wide_result_of_100_mb_is_cut_and_says_so(desk: SqlDesk) -> None:
    began = time.monotonic()
    result = asked(desk, "SELECT repeat('x', 100000) FROM numbers(1000)")
    assert result.cut
    assert "8 MB" in (result.why_cut or "")
    assert sum(len(row[0]) for row in result.rows) <= BYTES
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("sql", "said", "place"),
    [
        ("SELECT 1 FOM runs", "Syntax error: failed at position 14", (1, 14)),
        ("SELECT 1,\n  2 FOM runs", "Syntax error", (2, 9)),
        ("SELECT nothing FROM runs", "Unknown expression identifier `nothing`", None),
        ("SELECT * FROM nowhere", "nowhere", None),
        ("SELECT toDate('x')", "Cannot parse", None),
        ("SELECT 1 / 0 FORMAT CSV", "Leave FORMAT out", None),
        ("INSERT INTO events_in (run_id) VALUES ('x')", "Not enough privileges", None),
        ("SELECT * FROM url('http://127.0.0.1:1/', CSV)", "the table function url is not served", None),
        ("", "There is nothing to ask", None),
        (" \n", "There is nothing to ask", None),
    ],
)
def test_errors_are_clickhouses_sentence(desk: SqlDesk, sql: str, said: str, place: tuple[int, int] | None) -> None:
    with pytest.raises(SqlError) as caught:
        asked(desk, sql)
    assert said in str(caught.value)
    assert "DB::Exception" not in str(caught.value)
    assert "(version" not in str(caught.value)
    assert len(str(caught.value)) < 600
    if place:
        assert place == (caught.value.line, caught.value.column)


def test_what_takes_too_much_says_so(desk: SqlDesk) -> None:
    with pytest.raises(SqlError, match="needs more memory"):
        asked(desk, "SELECT groupArray(randomString(100)) FROM numbers(100000000)")
    with pytest.raises(SqlError, match="more rows than it may"):
        asked(desk, "SELECT count() FROM numbers(3000000000) WHERE number % 7 = 1")


def test_a_limit_of_time_is_told_as_one() -> None:
    assert "longer than 15 s" in understood(
        "Code: 159. DB::Exception: Timeout exceeded", 159, {"max_execution_time": 15}
    )


def running(settings: Settings) -> int:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=int(settings.clickhouse.rpartition(":")[2]))
    try:
        return int(
            client.query(
                "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%MD5%' AND"
                " query NOT LIKE '%processes%'"
            ).result_rows[0][0]
        )
    finally:
        client.close()


def test_a_query_is_stopped(desk: SqlDesk, settings: Settings) -> None:
    query = desk.query(SLOW)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            query.run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 10
    while not running(settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    query.stop()
    thread.join(5)
    assert isinstance(raised[0], SqlStopped)
    while running(settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert 0 == running(settings)


def test_whoever_goes_away_ends_the_query(desk: SqlDesk, settings: Settings) -> None:
    async def leave() -> None:
        task = asyncio.create_task(desk.run(desk.query(SLOW)))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    deadline = time.monotonic() + 10
    while running(settings) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert 0 == running(settings)


def test_stopped_before_it_began(desk: SqlDesk) -> None:
    query = desk.query("SELECT 1")
    query.stop()
    with pytest.raises(SqlStopped):
        query.run()


def test_clickhouse_away(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = SqlDesk(settings.model_copy(update={"clickhouse": f"http://127.0.0.1:{taken.getsockname()[1]}"}))
    with pytest.raises(StoreAway, match="is it up"):
        asked(away, "SELECT 1")


def test_a_wrong_password_names_the_settings(settings: Settings) -> None:
    wrong = SqlDesk(Settings(clickhouse=settings.clickhouse, sql_user="reader", sql_password="x", home=settings.home))
    with pytest.raises(StoreDenied, match="RUNWATCH_SQL_PASSWORD"):
        asked(wrong, "SELECT 1")


@pytest.mark.parametrize("user", ["", "default"])
def test_without_a_user_of_its_own_it_is_off(settings: Settings, user: str) -> None:
    off = SqlDesk(settings.model_copy(update={"sql_user": user}))
    assert not off.is_on
    with pytest.raises(StoreDenied, match="RUNWATCH_SQL_USER"):
        off.query("SELECT 1")
    assert "deploy/clickhouse" in OFF


def test_csv_has_all_rows(desk: SqlDesk) -> None:
    lines = exported(desk, "SELECT number AS n, toString(number) AS s FROM numbers(100000)").decode().split("\r\n")
    assert ["n,s", "0,0", "1,1"] == lines[:3]
    assert 100_002 == len(lines)


def test_csv_is_cut_at_its_limit_and_says_so(desk: SqlDesk) -> None:
    lines = exported(desk, "SELECT number FROM numbers(100000)", 10).decode().split("\r\n")
    assert ["9", "(cut: only the first 10 rows are here)", ""] == lines[10:]


def test_csv_with_an_error_at_its_beginning_or_in_its_midst(desk: SqlDesk) -> None:
    with pytest.raises(SqlError, match="Syntax error"):
        exported(desk, "SELECT 1 FOM runs")
    with pytest.raises((SqlError, StoreAway)):
        exported(desk, "SELECT throwIf(number = 300000) FROM numbers(1000000)")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("a=1", "a=1"),
        (-1, "-1"),
        (-0.5, "-0.5"),
        (None, ""),
        (True, "true"),
        (["=1"], '["=1"]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_csv_cells_are_no_formulas(value: Any, cell: str) -> None:
    assert cell == csv_cell(value)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_every_example_works(desk: SqlDesk, example: Any) -> None:
    assert asked(desk, example.sql).columns
    assert example.sentence.endswith((".", "?"))


def test_the_views_and_their_columns(settings: Settings) -> None:
    found = {view.name: view for view in views(Reader(settings))}
    assert {"events", "runs", "anomalies", "audit", "dead_letters", "window_metrics"} <= set(found)
    assert not [name for name in found if name.endswith(("_stored", "_in"))]
    assert ("run_id", "String") == next((c.name, c.type) for c in found["events"].columns if c.name == "run_id")


def test_a_ticket_is_good_once_and_for_a_minute(desk: SqlDesk) -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    started = [Started(desk.export("SELECT 1"), b"x") for _ in range(2)]
    once, late = (tickets.make(each) for each in started)
    assert started[0] == tickets.take(once)
    assert tickets.take(once) is None
    now[0] = 61.0
    assert tickets.take(late) is None
    assert tickets.take("") is None
    # What nobody fetched is ended.
    with pytest.raises(SqlStopped):
        started[1].export.piece()
