"""The HTTP interface, asked by plain requests as curl sends them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cramjam
import fastavro
import pytest

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
    "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    "br": lambda data: bytes(cramjam.brotli.compress(data)),
}
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lambda data: bytes(cramjam.lz4.decompress(data)),
    "zstd": lambda data: bytes(cramjam.zstd.decompress(data)),
    "br": lambda data: bytes(cramjam.brotli.decompress(data)),
}


def make_table(front: Any, name: str, columns: str = "a Int32, b String") -> str:
    assert front.ask(f"DROP TABLE IF EXISTS {name}").status == 200
    assert front.ask(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY tuple()").status == 200
    return name


def rows(front: Any, table: str) -> list[str]:
    return front.ask(f"SELECT * FROM {table} ORDER BY ALL").text.splitlines()


def test_ping(front: Any) -> None:
    assert "Ok.\n" == front.ask(path="/ping").text
    assert "Ok.\n" == front.ask(path="/").text


def test_an_unknown_path_is_a_404(front: Any) -> None:
    assert 404 == front.ask(path="/nowhere").status


def test_get_answers_with_headers(front: Any) -> None:
    reply = front.ask(query="SELECT 1 + 1 AS two", default_format="JSONEachRow", query_id="my-query")
    assert (200, '{"two":2}\n') == (reply.status, reply.text)
    assert "my-query" == reply.headers["X-ClickHouse-Query-Id"]
    assert "JSONEachRow" == reply.headers["X-ClickHouse-Format"]
    assert "application/x-ndjson; charset=UTF-8" == reply.headers["Content-Type"]
    assert "X-ClickHouse-Timezone" in reply.headers


def test_the_summary_counts_rows(front: Any) -> None:
    reply = front.ask("SELECT count() FROM numbers(1000)", wait_end_of_query="1")
    assert "1000" == json.loads(reply.headers["X-ClickHouse-Summary"])["read_rows"]
    table = make_table(front, "summary")
    reply = front.ask(f"INSERT INTO {table} FORMAT CSV\n1,x\n2,y\n")
    assert "2" == json.loads(reply.headers["X-ClickHouse-Summary"])["written_rows"]


def test_the_format_is_the_statements_then_the_parameters_then_the_headers(front: Any) -> None:
    header = {"X-ClickHouse-Format": "CSV"}
    assert '{"a":"x"}\n' == front.ask("SELECT 'x' AS a FORMAT JSONEachRow", header, default_format="CSV").text
    assert "x\n" == front.ask("SELECT 'x' AS a", header, default_format="TSV").text
    assert '"x"\n' == front.ask("SELECT 'x' AS a", header).text


def test_parameters(front: Any) -> None:
    reply = front.ask(
        "SELECT {n:UInt32} + 1, {s:String}, {l:Array(String)}", param_n="41", param_s="it's", param_l="['a']"
    )
    assert "42\tit\\'s\t['a']\n" == reply.text


def test_settings_come_from_the_url_and_do_not_stay(front: Any) -> None:
    assert "3\n" == front.ask("SELECT getSetting('max_threads')", max_threads="3").text
    assert "3\n" != front.ask("SELECT getSetting('max_threads')").text


def test_a_sql_injection_by_a_setting_is_a_value(front: Any) -> None:
    assert (
        "a', max_threads = 1\n"
        == front.ask("SELECT getSetting('log_comment') FORMAT TSVRaw", log_comment="a', max_threads = 1").text
    )
    assert "115" == front.ask("SELECT 1", **{"a = 1, b": "1"}).headers["X-ClickHouse-Exception-Code"]


def test_database(front: Any) -> None:
    assert front.ask("CREATE DATABASE IF NOT EXISTS other").status == 200
    assert "other\n" == front.ask("SELECT currentDatabase()", database="other").text
    assert "other\n" == front.ask("SELECT currentDatabase()", {"X-ClickHouse-Database": "other"}).text
    assert "default\n" == front.ask("SELECT currentDatabase()").text


@pytest.mark.parametrize(
    ("sql", "params", "status", "code"),
    [
        ("SELECT * FROM nope", {}, 404, 60),
        ("SELEC 1", {}, 400, 62),
        ("SELECT nope", {}, 404, 47),
        ("SELECT 1; SELECT 2", {}, 400, 62),
        ("SELECT 1", {"database": "nope"}, 404, 81),
        ("SELECT 1", {"nonsense": "1"}, 404, 115),
        ("SELECT 1", {"default_format": "Nope"}, 404, 73),
        ("SELECT {x:UInt8}", {}, 400, 456),
        ("SELECT count() FROM numbers(1000000000000)", {"max_execution_time": "0.3"}, 408, 159),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", {}, 500, 344),
        ("INSERT INTO nope FORMAT CSV\n1", {}, 404, 60),
        ("INSERT INTO nope FORMAT CSV;\n1", {}, 400, 62),
        ("SELECT 1", {"compress": "1"}, 501, 48),
        ("SELECT throwIf(number = 10) FROM numbers(20)", {}, 500, 395),
    ],
)
def test_errors_have_clickhouses_code_and_status(
    front: Any, sql: str, params: dict[str, str], status: int, code: int
) -> None:
    reply = front.ask(sql, **params)
    assert (status, str(code)) == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert reply.text.endswith(")\n")


def test_get_is_read_only(front: Any) -> None:
    table = make_table(front, "readonly")
    reply = front.ask(query=f"INSERT INTO {table} VALUES (1, 'x')")
    assert (500, "164") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])
    assert "164" == front.ask(query=f"DROP TABLE {table}").headers["X-ClickHouse-Exception-Code"]
    assert "164" == front.ask(f"DROP TABLE {table}", readonly="1").headers["X-ClickHouse-Exception-Code"]
    assert "1\n" == front.ask(query="SELECT 1 SETTINGS max_threads = 1", max_execution_time="5").text
    assert [] == rows(front, table)


def avro(count: int, codec: str = "null") -> bytes:
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "string"}]}
    file = io.BytesIO()
    fastavro.writer(file, schema, [{"a": n, "b": f"row {n}"} for n in range(count)], codec=codec)
    return file.getvalue()


def test_insert_as_one_body_and_as_parameter_and_body(front: Any) -> None:
    for number, send in enumerate(
        [
            lambda t, d: front.ask(b"INSERT INTO " + t + b" FORMAT Avro\n" + d),
            lambda t, d: front.ask(d, query=f"INSERT INTO {t.decode()} FORMAT Avro"),
            lambda t, d: front.ask(d, query=f"INSERT INTO {t.decode()} (a, b) SETTINGS max_threads = 1 FORMAT Avro"),
        ]
    ):
        table = make_table(front, f"avro_{number}")
        reply = send(table.encode(), avro(1000))
        assert 200 == reply.status, reply.text
        assert [f"{n}\trow {n}" for n in range(1000)] == sorted(rows(front, table), key=lambda r: int(r.split()[0]))


@pytest.mark.parametrize(
    ("format_name", "data"),
    [
        ("CSV", b'1,"x;y"\n2,z\n'),
        ("JSONEachRow", b'{"a":1,"b":"x;y"}\n{"a":2,"b":"z"}'),
        ("Values", b"(1, 'x;y'), (1 + 1, lower('Z'))"),
        ("TabSeparated", b"1\tx;y\n2\tz\n"),
        ("RowBinary", struct.pack("<i", 1) + b"\x03x;y" + struct.pack("<i", 2) + b"\x01z"),
        ("Native", b"\x02\x02\x01a\x05Int32" + struct.pack("<ii", 1, 2) + b"\x01b\x06String\x03x;y\x01z"),
    ],
)
def test_insert_formats(front: Any, format_name: str, data: bytes) -> None:
    for number, in_url in enumerate((False, True)):
        table = make_table(front, f"f_{format_name}_{number}")
        statement = f"INSERT INTO {table} " + ("VALUES" if format_name == "Values" else f"FORMAT {format_name}")
        reply = front.ask(data, query=statement) if in_url else front.ask(statement.encode() + b"\n" + data)
        assert 200 == reply.status, reply.text
        assert ["1\tx;y", "2\tz"] == rows(front, table)


def test_insert_arrow_that_a_select_gave(front: Any) -> None:
    data = front.ask("SELECT toInt32(number) AS a, toString(number) AS b FROM numbers(5) FORMAT ArrowStream").body
    table = make_table(front, "arrow")
    assert 200 == front.ask(data, query=f"INSERT INTO {table} FORMAT ArrowStream").status
    assert [f"{n}\t{n}" for n in range(5)] == rows(front, table)


def test_insert_with_parameters_and_select_from_input(front: Any) -> None:
    table = make_table(front, "inputs")
    assert 200 == front.ask("INSERT INTO {t:Identifier} FORMAT CSV\n1,x", param_t=table).status
    assert 200 == front.ask(f"INSERT INTO {table} VALUES ({{n:Int32}}, 'y')", param_n="2").status
    sql = f"INSERT INTO {table} SELECT a + {{n:Int32}}, upper(b) FROM input('a Int32, b String') FORMAT CSV"
    assert 200 == front.ask(b"3,z\n4,z\n", query=sql, param_n="10").status
    assert 200 == front.ask(f"INSERT INTO {table} SELECT 99, 'w'").status
    assert ["1\tx", "2\ty", "13\tZ", "14\tZ", "99\tw"] == rows(front, table)


def test_a_large_values_body(front: Any) -> None:
    table = make_table(front, "large_values")
    values = ",".join(f"({n},'{'x' * 30}')" for n in range(50_000))
    assert 200 == front.ask(f"INSERT INTO {table} VALUES {values}").status
    assert "50000\t1249975000\n" == front.ask(f"SELECT count(), sum(a) FROM {table}").text


def test_a_body_too_large_for_memory_goes_by_disk(front: Any) -> None:
    table = make_table(front, "large", "a String")
    line = b"x" * 999 + b"\n"
    assert 200 == front.ask(line * 70_000, query=f"INSERT INTO {table} FORMAT LineAsString").status
    assert "70000\t999\n" == front.ask(f"SELECT count(), max(length(a)) FROM {table}").text


@pytest.mark.parametrize("encoding", sorted(ENCODE))
def test_compressed_bodies_both_ways(front: Any, encoding: str) -> None:
    table = make_table(front, f"packed_{encoding}")
    body = ENCODE[encoding](f"INSERT INTO {table} FORMAT CSV\n1,x\n2,{'y' * 5000}\n".encode())
    reply = front.ask(body, {"Content-Encoding": encoding})
    assert 200 == reply.status, reply.text
    body = ENCODE[encoding](b"3,z\n")
    assert 200 == front.ask(body, {"Content-Encoding": encoding}, query=f"INSERT INTO {table} FORMAT CSV").status
    for waits in ("0", "1"):
        sql = f"SELECT * FROM {table} ORDER BY a"
        accept = {"Accept-Encoding": encoding}
        reply = front.ask(sql, accept, enable_http_compression="1", wait_end_of_query=waits)
        assert encoding == reply.headers["Content-Encoding"]
        assert f"1\tx\n2\t{'y' * 5000}\n3\tz\n".encode() == DECODE[encoding](reply.body)
    assert "Content-Encoding" not in front.ask("SELECT 1", {"Accept-Encoding": encoding}).headers


def test_a_broken_compressed_body_is_refused(front: Any) -> None:
    reply = front.ask(b"no gzip", {"Content-Encoding": "gzip"}, query="INSERT INTO t FORMAT CSV")
    assert (400, "117") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])
    reply = front.ask(b"x", {"Content-Encoding": "snappy"})
    assert (501, "48") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])


def test_a_form_carries_parameters_and_tables(front: Any) -> None:
    fields = [
        'Content-Disposition: form-data; name="query"\r\n\r\nSELECT id + {n:Int32}, name FROM ext ORDER BY id',
        'Content-Disposition: form-data; name="param_n"\r\n\r\n10',
        'Content-Disposition: form-data; name="ext"; filename="ext.csv"\r\n\r\n1,a\n2,b\n',
    ]
    body = "".join(f"--sep\r\n{field}\r\n" for field in fields) + "--sep--\r\n"
    head = {"Content-Type": "multipart/form-data; boundary=sep"}
    reply = front.ask(body, head, ext_structure="id Int32, name String", ext_format="CSV")
    assert "11\ta\n12\tb\n" == reply.text


def test_a_violated_constraint_refuses_the_whole_insert(front: Any) -> None:
    """Behind a Null table with a view too: how the sink has a misread block refused."""
    make_table(front, "kept", "a Int32")
    front.ask("DROP TABLE IF EXISTS landing")
    assert front.ask("CREATE TABLE landing (a Int32, CONSTRAINT aligned CHECK a >= 0) ENGINE = Null").status == 200
    assert front.ask("CREATE MATERIALIZED VIEW landing_view TO kept AS SELECT a FROM landing").status == 200
    reply = front.ask("INSERT INTO landing FORMAT CSV\n1\n-2\n3\n")
    assert (500, "469") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])
    assert [] == rows(front, "kept")
    assert 200 == front.ask("INSERT INTO landing FORMAT CSV\n1\n3\n").status
    assert ["1", "3"] == rows(front, "kept")


def test_a_broken_insert_stores_nothing(front: Any) -> None:
    table = make_table(front, "broken")
    reply = front.ask(b"INSERT INTO broken FORMAT Avro\n" + avro(1000)[:-40])
    assert 200 != reply.status
    assert [] == rows(front, table)


def test_streams_end_cleanly_or_not_at_all(front: Any) -> None:
    reply = front.ask("SELECT number FROM numbers(300000)")
    assert b"".join(b"%d\n" % n for n in range(300_000)) == reply.body
    with socket.create_connection(("127.0.0.1", front.port), 30) as connection:
        sql = b"SELECT throwIf(number = 900000) FROM numbers(1000000)"
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(sql) + sql)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    assert b"Code: 395. DB::Exception" in received[-1000:]
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("format_name", ["Native", "JSON"])
def test_an_abandoned_query_is_cancelled(front: Any, until: Any, format_name: str) -> None:
    running = "SELECT count() FROM system.processes WHERE query LIKE '%AS abandoned%' AND query NOT LIKE '%LIKE%'"
    sql = f"SELECT count() AS abandoned FROM numbers(100000000000) FORMAT {format_name}".encode()
    with socket.create_connection(("127.0.0.1", front.port), 30) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(sql) + sql)
        until(lambda: front.ask(running).text == "1\n", "the query runs")
    until(lambda: front.ask(running).text == "0\n", "the abandoned query is gone")


def test_short_queries_run_beside_a_long_one(front: Any) -> None:
    long = threading.Thread(
        target=front.ask, args=("SELECT count() FROM numbers(1000000000000)",), kwargs={"max_execution_time": "3"}
    )
    long.start()
    time.sleep(0.3)
    start = time.monotonic()
    assert "1\n" == front.ask("SELECT 1").text
    took = time.monotonic() - start
    long.join()
    assert took < 1.5


def test_pages_of_other_sites_are_refused(front: Any) -> None:
    reply = front.ask("SELECT 1", {"Sec-Fetch-Site": "cross-site"})
    assert (403, "497") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])


def test_a_password(tmp_path: Path, launch: Any) -> None:
    with launch(tmp_path / "data", "--user", "ann", password="se cret") as front:
        basic = "Basic " + base64.b64encode(b"ann:se cret").decode()
        assert "1\n" == front.ask("SELECT 1", {"Authorization": basic}).text
        assert "1\n" == front.ask("SELECT 1", {"X-ClickHouse-User": "ann", "X-ClickHouse-Key": "se cret"}).text
        assert "1\n" == front.ask("SELECT 1", user="ann", password="se cret").text
        assert "Ok.\n" == front.ask(path="/ping").text
        for headers, params in [
            ({}, {}),
            ({"X-ClickHouse-User": "ann", "X-ClickHouse-Key": "wrong"}, {}),
            ({"X-ClickHouse-User": "bob", "X-ClickHouse-Key": "se cret"}, {}),
            ({"Authorization": "Basic !"}, {}),
            ({}, {"user": "ann"}),
        ]:
            reply = front.ask("SELECT 1", headers, **params)
            assert (403, "516") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])
            assert "se cret" not in reply.text


def test_limits(tmp_path: Path, launch: Any) -> None:
    with launch(tmp_path / "data", "--max-body-mb", "1") as front:
        big = b"x" * (2 << 20)
        reply = front.ask(big, query="INSERT INTO t FORMAT CSV")
        assert (413, "307") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])
        for encoding in ENCODE:
            reply = front.ask(ENCODE[encoding](big), {"Content-Encoding": encoding}, query="INSERT INTO t FORMAT CSV")
            assert (413, "307") == (reply.status, reply.headers["X-ClickHouse-Exception-Code"])


def test_what_was_acknowledged_outlives_a_stop_and_a_kill(tmp_path: Path, launch: Any) -> None:
    with launch(tmp_path / "data") as front:
        make_table(front, "t")
        answers: list[int] = []
        slow = threading.Thread(
            target=lambda: answers.append(
                front.ask("INSERT INTO t SELECT number + sleepEachRow(0.2), '' FROM numbers(5)").status
            )
        )
        slow.start()
        time.sleep(0.4)
        assert 0 == front.stop()
        slow.join()
        assert [200] == answers
    with launch(tmp_path / "data") as front:
        assert "5\n" == front.ask("SELECT count() FROM t").text
        assert 200 == front.ask("INSERT INTO t VALUES (7, 'x')").status
        front.process.send_signal(signal.SIGKILL)
        front.process.wait()
    with launch(tmp_path / "data") as front:
        assert "6\n" == front.ask("SELECT count() FROM t").text


def test_a_statement_has_a_memory_limit_that_it_may_change(tmp_path: Path, launch: Any) -> None:
    with launch(tmp_path / "data", "--query-memory-mb", "300") as front:
        sql = "SELECT length(groupArray(number)) FROM numbers(50000000)"
        assert "241" == front.ask(sql).headers["X-ClickHouse-Exception-Code"]
        assert "50000000\n" == front.ask(sql, max_memory_usage="2000000000").text
        spilled = "SELECT count() FROM (SELECT number, count() FROM numbers(12000000) GROUP BY number)"
        assert "12000000\n" == front.ask(spilled).text
