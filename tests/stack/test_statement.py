"""Where a statement ends and its data begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.stack.clickhouse.statement import Insert, StatementError, parse_insert, shape_of


@pytest.mark.parametrize(
    ("text", "head", "format_name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV\r\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"insert into t(a, b) format JSONEachRow {}", b"insert into t(a, b) ", "JSONEachRow", b"{}"),
        (b"INSERT INTO t FORMAT CSV\n\n1", b"INSERT INTO t ", "CSV", b"\n1"),
        (b"INSERT INTO t FORMAT CSV \t\n 1", b"INSERT INTO t ", "CSV", b" 1"),
        (b"INSERT INTO t FORMAT RowBinary\n\n\x00\xff;--", b"INSERT INTO t ", "RowBinary", b"\n\x00\xff;--"),
        (b"INSERT INTO t VALUES (1)", b"INSERT INTO t ", "Values", b" (1)"),
        (b"INSERT INTO t VALUES(1, 'FORMAT CSV')", b"INSERT INTO t ", "Values", b"(1, 'FORMAT CSV')"),
        (b"INSERT INTO format FORMAT CSV\n1", b"INSERT INTO format ", "CSV", b"1"),
        (b"INSERT INTO db.values FORMAT CSV\n1", b"INSERT INTO db.values ", "CSV", b"1"),
        (b"INSERT INTO `a FORMAT x` FORMAT CSV\n1", b"INSERT INTO `a FORMAT x` ", "CSV", b"1"),
        (b"INSERT INTO t /* FORMAT TSV\n */ FORMAT CSV\n1", b"INSERT INTO t /* FORMAT TSV\n */ ", "CSV", b"1"),
        (b"-- FORMAT\nINSERT INTO TABLE t FORMAT CSV\n1", b"-- FORMAT\nINSERT INTO TABLE t ", "CSV", b"1"),
        (
            b"INSERT INTO FUNCTION file('x', 'CSV') FORMAT CSV\n1",
            b"INSERT INTO FUNCTION file('x', 'CSV') ",
            "CSV",
            b"1",
        ),
        (b"INSERT INTO {t:Identifier} FORMAT CSV\n1", b"INSERT INTO {t:Identifier} ", "CSV", b"1"),
        (b"INSERT INTO t FORMAT `CSV`\n1", b"INSERT INTO t ", "CSV", b"1"),
    ],
)
def test_an_insert_is_cut_where_its_data_begins(text: bytes, head: bytes, format_name: str, data: bytes) -> None:
    insert = parse_insert(text)
    assert insert is not None
    assert (head, format_name, data) == (insert.head, insert.format, text[insert.data_at :])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (a) SELECT 'FORMAT CSV' AS format",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t (SELECT 1 AS a)",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"CREATE TABLE t (a Int8) ENGINE = Memory",
        b"INSERT",
        b"INSERT INTO",
        b"INSERT INTO t FORMAT",
        b"EXPLAIN INSERT INTO t VALUES (1)",
    ],
)
def test_what_brings_no_data_is_no_insert(text: bytes) -> None:
    assert parse_insert(text) is None


def test_a_semicolon_before_the_data_is_refused() -> None:
    with pytest.raises(StatementError, match="leave it out"):
        parse_insert(b"INSERT INTO t FORMAT CSV;\n1")


def test_the_file_comes_before_the_settings() -> None:
    insert = parse_insert(b"INSERT INTO t (a) SETTINGS max_threads = 1 FORMAT CSV\n1")
    assert insert is not None
    assert (
        b"INSERT INTO t (a)  FROM INFILE '/x\\'y' COMPRESSION 'none' SETTINGS max_threads = 1  FORMAT CSV"
        == insert.from_file("/x'y")
    )


def test_input_becomes_the_file() -> None:
    insert = parse_insert(b"INSERT INTO t SELECT a + 1 FROM input('a Int32') WHERE a > 1 FORMAT CSV\n1")
    assert insert is not None
    assert b"INSERT INTO t SELECT a + 1 FROM file('/x', 'CSV', 'a Int32') WHERE a > 1 " == insert.from_file("/x")


@given(st.binary(max_size=200), st.sampled_from(["Avro", "Native", "RowBinary", "CSV"]))
def test_any_bytes_are_data_after_the_line_break(data: bytes, format_name: str) -> None:
    insert = parse_insert(f"INSERT INTO t (a, `b`) FORMAT {format_name}\n".encode() + data)
    expected = Insert(b"INSERT INTO t (a, `b`) ", format_name, 23, 31 + len(format_name))
    assert expected == insert


@given(st.binary(max_size=100))
def test_no_text_breaks_the_reader(text: bytes) -> None:
    try:
        insert = parse_insert(text)
    except StatementError:
        return
    assert insert is None or 0 < insert.data_at <= len(text)


@pytest.mark.parametrize(
    ("text", "verb", "format_name", "outfile"),
    [
        (b"SELECT 1", "SELECT", None, False),
        (b"  /* x */ select 1 format JSON;", "SELECT", "JSON", False),
        (b"SELECT 'FORMAT CSV', (SELECT 1 FORMAT)", "SELECT", None, False),
        (b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "SELECT", "JSON", False),
        (b"SELECT 1 INTO OUTFILE 'x' FORMAT CSV", "SELECT", "CSV", True),
        (b"WITH 1 AS x SELECT x FORMAT Native", "WITH", "Native", False),
    ],
)
def test_what_a_statement_asks_for(text: bytes, verb: str, format_name: str | None, outfile: bool) -> None:
    shape = shape_of(text)
    assert (verb, format_name, outfile) == (shape.verb, shape.format, shape.outfile)
