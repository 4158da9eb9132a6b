"""The HTTP interface, used by clickhouse-connect."""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData


@pytest.fixture(params=[True, False, "zstd", "gzip"], ids=["lz4", "plain", "zstd", "gzip"])
def client(front: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    client = clickhouse_connect.get_client(host="127.0.0.1", port=front.port, compress=request.param)
    yield client
    client.close()


ROWS = [
    [1, "x", ["a", "b"], datetime.datetime(2026, 1, 2, 3, 4, 5), 1.5, None],
    [2, "y", [], datetime.datetime(2026, 1, 2, 3, 4, 6), -0.25, "z"],
]


def test_rows_go_in_and_come_out(client: Any) -> None:
    client.command("DROP TABLE IF EXISTS cc")
    client.command(
        "CREATE TABLE cc (a Int32, b LowCardinality(String), c Array(String), d DateTime('UTC'), e Float64, "
        "f Nullable(String)) ENGINE = MergeTree ORDER BY a"
    )
    summary = client.insert("cc", ROWS, column_names=["a", "b", "c", "d", "e", "f"])
    assert 2 == summary.written_rows
    result = client.query("SELECT * FROM cc ORDER BY a")
    assert ("a", "b", "c", "d", "e", "f") == result.column_names
    assert [tuple(row) for row in ROWS] == result.result_rows
    assert ("a", "b", "c", "d", "e", "f") == client.query("SELECT * FROM cc LIMIT 0").column_names
    assert 2 == client.command("SELECT count() FROM cc")
    assert 26 <= int(client.command("SELECT version()").split(".")[0])


def test_parameters_settings_and_database(client: Any) -> None:
    sql = "SELECT {n:Int32} + 1 AS n, {s:String} AS s, {l:Array(String)} AS l"
    result = client.query(sql, parameters={"n": 41, "s": "it's\ta \\ line\n", "l": ["a'b", "c"]})
    assert [(42, "it's\ta \\ line\n", ["a'b", "c"])] == result.result_rows
    assert 3 == client.command("SELECT getSetting('max_threads')", settings={"max_threads": 3})
    with pytest.raises(DatabaseError, match="code: 159"):
        client.query("SELECT count() FROM numbers(1000000000000)", settings={"max_execution_time": 0.3})


def test_raw_inserts(client: Any) -> None:
    client.command("CREATE OR REPLACE TABLE raw (a Int32, b String) ENGINE = MergeTree ORDER BY a")
    assert 1 == client.raw_insert("raw", insert_block=b"1,x\n", fmt="CSV").written_rows
    assert 1 == client.raw_insert("raw", ["b", "a"], iter([b"y,", b"2\n"]), fmt="CSV").written_rows
    assert 1 == client.raw_insert("raw", None, gzip.compress(b"3,z\n"), fmt="CSV", compression="gzip").written_rows
    assert b'1,"x"\n2,"y"\n3,"z"\n' == client.raw_query("SELECT * FROM raw ORDER BY a", fmt="CSV")
    client.command("INSERT INTO raw FORMAT CSV", data="4,w")
    assert 4 == client.command("SELECT count() FROM raw")


def test_streams(client: Any) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(500000)") as blocks:
        assert 500_000 * 499_999 // 2 == sum(row[0] for block in blocks for row in block)
    with (
        pytest.raises((StreamFailureError, DatabaseError), match="395"),
        client.query_row_block_stream("SELECT throwIf(number = 900000) FROM numbers(1000000)") as blocks,
    ):
        for _ in blocks:
            pass


def test_errors_carry_their_code(client: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nope")
    assert (60, "UNKNOWN_TABLE") == (caught.value.code, caught.value.name)


def test_external_tables_and_arrow(client: Any) -> None:
    pytest.importorskip("pyarrow")
    data = ExternalData(file_name="ext.csv", fmt="CSV", structure=["id UInt32", "name String"], data=b"1,a\n2,b\n")
    assert [(1, "a"), (2, "b")] == client.query("SELECT * FROM ext ORDER BY id", external_data=data).result_rows
    assert {"number": [0, 1, 2]} == client.query_arrow("SELECT number FROM numbers(3)").to_pydict()
