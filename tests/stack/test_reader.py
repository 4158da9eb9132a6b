"""The reading user of the local front: what it may ask, and everything that it is refused."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from runwatch.config import Settings
from runwatch.sinks.ddl import Layout, statements
from runwatch.sinks.migrate import all_migrations

READER = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "a secret"}
SECRET = "what no reader may see"


@pytest.fixture(scope="module")
def reader(
    launch: Callable[..., AbstractContextManager[Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A front with runwatch's tables, another database, and a reading user."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "secret.csv").write_text(f"{SECRET}\n")
    with launch(folder / "data", "--reader", "reader", reader_password="a secret") as front:
        front.folder = folder
        for text in (
            "CREATE DATABASE runwatch",
            *(text for each in all_migrations() for text in statements(each.template, Layout("runwatch"))),
            "CREATE DATABASE other",
            "CREATE TABLE other.t (a String) ENGINE = MergeTree ORDER BY a",
            f"INSERT INTO other.t VALUES ('{SECRET}')",
            "CREATE VIEW other.v AS SELECT a FROM other.t",
            "CREATE DICTIONARY other.d (a String, b String) PRIMARY KEY a"
            " SOURCE(CLICKHOUSE(DB 'other' TABLE 't')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)",
            "CREATE FUNCTION reaches AS x -> file(x)",
            "CREATE TABLE runwatch.schema_migrations (number UInt32, name String) ENGINE = MergeTree ORDER BY number",
        ):
            answer = front.ask(text)
            assert answer.status == 200, answer.text
        yield front


def said(front: Any, sql: str, **params: str) -> Any:
    return front.ask(sql, headers=READER, **params)


ALLOWED = {
    "a constant": "SELECT 1",
    "a view": "SELECT count() FROM runs",
    "a view by its database": "SELECT count() FROM runwatch.events",
    "quoted": 'SELECT count() FROM `runwatch`."events"',
    "every view": "SELECT (SELECT count() FROM anomalies), (SELECT count() FROM audit)",
    "metrics and our own functions": "SELECT runwatch_quantile(sumMap(run_ms_keys, run_ms_counts), 0.95)"
    " FROM window_parts",
    "a CTE": "WITH recent AS (SELECT * FROM runs WHERE started_at > now() - INTERVAL 1 DAY) SELECT count() FROM recent",
    "a recursive CTE": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r",
    "joins and lambdas": "SELECT arrayMap(x -> x + 1, [1]), uniqExactIf(r.run_id, a.rule LIKE 'loop.%')"
    " FROM runs AS r LEFT JOIN anomalies AS a ON r.run_id = a.run_id",
    "IN a CTE, IN a query": "WITH ids AS (SELECT agent FROM runs)"
    " SELECT count() FROM events WHERE agent IN ids OR run_id IN (SELECT run_id FROM runs)",
    "a window": "SELECT seq, row_number() OVER (PARTITION BY run_id ORDER BY seq) FROM events QUALIFY seq > 1",
    "set operations": "SELECT 1 INTERSECT SELECT 1 UNION ALL (SELECT 2) EXCEPT SELECT 3",
    "fill and interpolate": "SELECT number AS n, 1 AS x FROM numbers(3) ORDER BY n WITH FILL FROM 0 TO 5"
    " INTERPOLATE (x AS x + 1) LIMIT 3",
    "columns": "SELECT * EXCEPT (labels), COLUMNS('run') FROM events",
    "safe table functions": "SELECT count() FROM numbers(5) AS a CROSS JOIN generate_series(1, 3) AS b",
    "values": "SELECT * FROM values('a Int32', 1, 2)",
    "a sub-query in view()": "SELECT * FROM view(SELECT 1)",
    "comments": "/* a */ SELECT 1 -- b\n;",
    "dates": "SELECT toStartOfHour(ts), formatDateTime(ts, '%F'), dateDiff('second', ts, now()) FROM events",
    "a parameter": "SELECT {x:UInt8}",
    "text that looks bad": "SELECT 'INSERT INTO system.one; FROM file(''/etc/passwd'')' AS x",
    "DESCRIBE": "DESCRIBE TABLE events",
    "DESCRIBE a query": "DESCRIBE (SELECT * FROM runs)",
    "SHOW TABLES": "SHOW TABLES",
    "SHOW TABLES of ours": "SHOW TABLES FROM runwatch LIKE '%runs'",
    "SHOW COLUMNS": "SHOW COLUMNS FROM events",
    "SHOW CREATE": "SHOW CREATE VIEW runwatch.events",
    "EXPLAIN": "EXPLAIN indexes = 1 SELECT count() FROM events WHERE run_id = 'r'",
    "EXPLAIN QUERY TREE": "EXPLAIN QUERY TREE SELECT count() FROM events",
}


@pytest.mark.parametrize("sql", ALLOWED.values(), ids=ALLOWED)
def test_it_may(reader: Any, sql: str) -> None:
    answer = said(reader, sql, param_x="1")
    assert 200 == answer.status, answer.text


def test_it_may_ask_everything_that_the_docs_ask(reader: Any) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "sql.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", docs, re.DOTALL)
    assert len(queries) > 8
    for sql in queries:
        answer = said(reader, sql)
        assert 200 == answer.status, f"{sql}\n{answer.text}"


def test_no_column_is_taken_for_a_function(reader: Any) -> None:
    columns = reader.ask("SELECT DISTINCT name FROM system.columns WHERE database = 'runwatch'").text.split()
    assert len(columns) > 60
    refused = reader.ask("SELECT arrayStringConcat(groupArray(lower(name)), ' ') FROM system.functions").text.split()
    for name in {each for each in columns if each.lower() in refused}:
        assert "privileges" not in said(reader, f"SELECT {name} FROM (SELECT 1 AS {name})").text


REFUSED = {
    # writing
    "INSERT": "INSERT INTO events_in (run_id) VALUES ('x')",
    "INSERT SELECT": "INSERT INTO runwatch.schema_migrations (number, name) SELECT 1, 'x'",
    "INSERT behind WITH": "WITH 1 AS x INSERT INTO runwatch.schema_migrations (number) SELECT x",
    "INSERT INTO FUNCTION": "INSERT INTO FUNCTION file('{folder}/new.csv') SELECT 1",
    "CREATE": "CREATE TABLE runwatch.x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY": "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE AS": "CREATE TABLE runwatch.x ENGINE = Memory AS SELECT 1",
    "CREATE FUNCTION": "CREATE FUNCTION runwatch_x AS x -> file(x)",
    "ALTER": "ALTER TABLE runwatch.events_stored DELETE WHERE 1",
    "DELETE": "DELETE FROM runwatch.events_stored WHERE 1",
    "UPDATE": "UPDATE runwatch.events_stored SET seq = 1 WHERE 1",
    "DROP": "DROP TABLE runwatch.events_stored",
    "TRUNCATE": "TRUNCATE TABLE runwatch.events_stored",
    "RENAME": "RENAME TABLE runwatch.runs TO runwatch.r",
    "OPTIMIZE": "OPTIMIZE TABLE runwatch.events_stored FINAL",
    "two statements": "SELECT 1; DROP TABLE runwatch.events_stored",
    "two statements, hidden": "SELECT 1 /* ; */ ; -- \n SELECT 2",
    "PARALLEL WITH": "SELECT 1 PARALLEL WITH DROP TABLE runwatch.events_stored",
    "EXPLAIN INSERT": "EXPLAIN INSERT INTO runwatch.schema_migrations (number) SELECT 1",
    # the session and the server
    "SET": "SET max_execution_time = 1000",
    "SET readonly": "SET readonly = 0",
    "SET ROLE": "SET ROLE everything",
    "SET ROLE DEFAULT": "SET ROLE DEFAULT",
    "SETTINGS": "SELECT 1 SETTINGS max_execution_time = 1000",
    "SETTINGS in a sub-query": "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
    "SETTINGS in a CTE": "WITH x AS (SELECT 1 SETTINGS max_memory_usage = 0) SELECT * FROM x",
    "SETTINGS of EXPLAIN": "EXPLAIN SELECT 1 SETTINGS max_memory_usage = 0",
    "USE": "USE other",
    "EXECUTE AS": "EXECUTE AS default SELECT 1",
    "SYSTEM": "SYSTEM SHUTDOWN",
    "KILL": "KILL QUERY WHERE 1",
    "BACKUP": "BACKUP TABLE runwatch.events_stored TO File('{folder}/backup')",
    "GRANT": "GRANT everything TO default",
    "CHECK": "CHECK TABLE other.t",
    "SHOW GRANTS": "SHOW GRANTS",
    "SHOW PROCESSLIST": "SHOW PROCESSLIST",
    "SHOW SETTINGS": "SHOW SETTINGS LIKE 'readonly'",
    "SHOW with a query in it": "SHOW TABLES WHERE name IN (SELECT a FROM other.t)",
    "SHOW of system": "SHOW TABLES FROM system",
    "SHOW of another": "SHOW TABLES FROM other",
    "SHOW CREATE of another": "SHOW CREATE TABLE other.t",
    "SHOW CREATE, quoted": "SHOW CREATE TABLE `other`.`t`",
    "SHOW COLUMNS of another": "SHOW COLUMNS FROM other.t",
    "SHOW CREATE DATABASE": "SHOW CREATE DATABASE other",
    "EXISTS": "EXISTS TABLE other.t",
    "DESCRIBE of another": "DESCRIBE other.t",
    "EXPLAIN TABLE OVERRIDE": "EXPLAIN TABLE OVERRIDE mysql('a:1', 'b', 'c', 'd', 'e') PARTITION BY a",
    "EXPLAIN CURRENT TRANSACTION": "EXPLAIN CURRENT TRANSACTION",
    # other databases
    "another database": "SELECT * FROM other.t",
    "its view": "SELECT * FROM other.v",
    "quoted otherwise": 'SELECT * FROM "other".`t`',
    "with comments": "SELECT * FROM other/**/./**/t",
    "with an escape": r"SELECT * FROM `\x6fther`.t",
    "in a sub-query": "SELECT (SELECT any(a) FROM other.t)",
    "in a CTE": "WITH x AS (SELECT * FROM other.t) SELECT * FROM x",
    "in a CTE of that name": "WITH other AS (SELECT 1) SELECT * FROM other.t",
    "in a JOIN": "SELECT * FROM runs AS r LEFT JOIN other.t AS t ON 1",
    "in IN": "SELECT 'x' IN other.t",
    "in IN, a query": "SELECT count() FROM events WHERE run_id IN (SELECT a FROM other.t)",
    "in EXISTS": "SELECT 1 WHERE EXISTS (SELECT * FROM other.t)",
    "in UNION": "SELECT '1' UNION ALL SELECT a FROM other.t",
    "in view()": "SELECT * FROM view(SELECT * FROM other.t)",
    "in ORDER BY": "SELECT 1 ORDER BY (SELECT count() FROM other.t)",
    "in LIMIT": "SELECT 1 LIMIT (SELECT count() FROM other.t)",
    "in WITH FILL": "SELECT 1 AS a ORDER BY a WITH FILL TO (SELECT count() FROM other.t)",
    "in a window": "SELECT count() OVER (PARTITION BY (SELECT any(a) FROM other.t))",
    "in REPLACE": "SELECT * REPLACE ((SELECT any(a) FROM other.t) AS x) FROM (SELECT 1 AS x)",
    "in APPLY": "SELECT * APPLY (x -> (SELECT any(a) FROM other.t)) FROM (SELECT 1 AS x)",
    "by parameters": "SELECT * FROM {{d:Identifier}}.{{t:Identifier}}",
    "EXPLAIN of it": "EXPLAIN SELECT * FROM other.t",
    "EXPLAIN SYNTAX of it": "EXPLAIN SYNTAX SELECT * FROM other.v",
    "merge()": "SELECT * FROM merge('other', '.*')",
    "merge() by pattern": "SELECT * FROM merge(REGEXP('.*'), '^t$')",
    "loop()": "SELECT * FROM loop(other.t) LIMIT 1",
    "remote()": "SELECT * FROM remote('localhost', other.t)",
    "remote() of system": "SELECT * FROM remote('127.0.0.1', system.one)",
    "remoteSecure()": "SELECT * FROM remoteSecure('127.0.0.1', other.t)",
    "cluster()": "SELECT * FROM cluster('default', other.t)",
    "clusterAllReplicas()": "SELECT * FROM clusterAllReplicas('default', system.one)",
    "mergeTreeIndex()": "SELECT * FROM mergeTreeIndex(other, t)",
    "viewExplain()": "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM other.t))",
    "viewIfPermitted()": "SELECT * FROM viewIfPermitted(SELECT a FROM other.t ELSE null('a String'))",
    "eval()": "SELECT * FROM eval('SELECT * FROM other.t')",
    "a dictionary": "SELECT * FROM dictionary('other.d')",
    "a dictionary as a table": "SELECT * FROM other.d",
    "dictGet": f"SELECT dictGet('other.d', 'b', tuple('{SECRET}'))",
    "dictHas": f"SELECT dictHas('other.d', tuple('{SECRET}'))",
    "joinGet": "SELECT joinGet('other.t', 'a', 1)",
    "hasColumnInTable": "SELECT hasColumnInTable('other', 't', 'a')",
    "system": "SELECT * FROM system.processes",
    "SYSTEM in capitals, quoted": "SELECT * FROM `system`.`one`",
    "system in IN": "SELECT 0 IN system.one",
    "information_schema": "SELECT * FROM information_schema.tables",
    "INFORMATION_SCHEMA": "SELECT * FROM INFORMATION_SCHEMA.COLUMNS",
    "system by a table's name": 'SELECT * FROM "system.one"',
    # files, addresses, programs
    "file()": "SELECT * FROM file('{folder}/secret.csv', CSV, 'a String')",
    "file() with AS": "SELECT * FROM file('{folder}/secret.csv', CSV, 'a String') AS f",
    "file() quoted": "SELECT * FROM `file`('{folder}/secret.csv', CSV, 'a String')",
    "the function file": "SELECT file('{folder}/secret.csv')",
    "the function file, quoted": "SELECT \"file\"('{folder}/secret.csv')",
    "the function file, by its name": "SELECT arrayMap(file, ['{folder}/secret.csv'])",
    "the function file, by its quoted name": "SELECT arrayMap(`file`, ['{folder}/secret.csv'])",
    "the function file in a lambda": "SELECT arrayMap(x -> file(x), ['{folder}/secret.csv'])",
    "the function file in a WITH": "WITH (x -> file(x)) AS f SELECT f('{folder}/secret.csv')",
    "the function file in APPLY": "SELECT * APPLY (file) FROM (SELECT '{folder}/secret.csv')",
    "the function file in COLUMNS APPLY": "SELECT COLUMNS('a') APPLY (file) FROM (SELECT '{folder}/secret.csv' AS a)",
    "the function file in DESCRIBE": "DESCRIBE (SELECT file('{folder}/secret.csv'))",
    "the function file in EXPLAIN": "EXPLAIN SELECT file('{folder}/secret.csv')",
    "the function file in EXPLAIN AST of EXPLAIN": "EXPLAIN EXPLAIN SELECT file('{folder}/secret.csv')",
    "the function file without SELECT": "file('{folder}/secret.csv')",
    "the function file behind a newline in a name": "SELECT file('{folder}/secret.csv') AS `a\nLiteral 1`",
    "the function file by a name": "SELECT {{f:Identifier}}('{folder}/secret.csv')",
    "the function file as an argument by a name": "SELECT arrayMap({{f:Identifier}}, ['{folder}/secret.csv'])",
    "a function of others that reads files": "SELECT reaches('{folder}/secret.csv')",
    "a path as a table": "SELECT * FROM `{folder}/secret.csv`",
    "a path as a string": "SELECT * FROM '{folder}/secret.csv'",
    "a path in default": "SELECT * FROM default.`{folder}/secret.csv`",
    "fileCluster()": "SELECT * FROM fileCluster('default', '{folder}/secret.csv')",
    "filesystem()": "SELECT * FROM filesystem('{folder}')",
    "url()": "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
    "url() in DESCRIBE": "DESCRIBE TABLE url('http://127.0.0.1:1/', CSV)",
    "url() in IN": "SELECT 1 IN url('http://127.0.0.1:1/', CSV, 'a String')",
    "url() in a CTE": "WITH x AS (SELECT * FROM url('http://127.0.0.1:1/', CSV)) SELECT 1",
    "s3()": "SELECT * FROM s3('http://127.0.0.1:1/b/k', CSV)",
    "gcs()": "SELECT * FROM gcs('http://127.0.0.1:1/b/k', CSV)",
    "hdfs()": "SELECT * FROM hdfs('hdfs://127.0.0.1:1/a', CSV, 'a String')",
    "azureBlobStorage()": "SELECT * FROM azureBlobStorage('a', 'b', 'c', 'd', 'e')",
    "iceberg()": "SELECT * FROM icebergLocal('{folder}')",
    "deltaLake()": "SELECT * FROM deltaLakeLocal('{folder}')",
    "mysql()": "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "postgresql()": "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "mongodb()": "SELECT * FROM mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'a String')",
    "redis()": "SELECT * FROM redis('127.0.0.1:1', 'a', 'a String')",
    "sqlite()": "SELECT * FROM sqlite('{folder}/a.db', 't')",
    "odbc()": "SELECT * FROM odbc('DSN=a', 'b', 'c')",
    "jdbc()": "SELECT * FROM jdbc('a', 'b', 'c')",
    "executable()": "SELECT * FROM executable('id', CSV, 'a String')",
    "python()": "SELECT * FROM python('work')",
    "Python()": "SELECT * FROM Python(work)",
    "arrowstream()": "SELECT * FROM arrowstream('1')",
    "input()": "SELECT * FROM input('a String')",
    "aiGenerate": "SELECT aiGenerate('hello')",
    "naiveBayesClassifier": "SELECT naiveBayesClassifier('a', 'b')",
    "getMacro": "SELECT getMacro('x')",
    "getServerSetting": "SELECT getServerSetting('path')",
    "filesystemAvailable": "SELECT filesystemAvailable()",
    "hostName": "SELECT hostName()",
    "FQDN": "SELECT FQDN()",
    "showCertificate": "SELECT showCertificate()",
    "addressToLine": "SELECT addressToLine(1)",
    "demangle": "SELECT demangle('a')",
    "sleep": "SELECT sleep(3)",
    "SLEEP, by its other case": "SELECT sleepEachRow(1) FROM numbers(3)",
    "a network call by alias": "SELECT AIGenerate('hello')",
    "OUTFILE": "SELECT 1 INTO OUTFILE '{folder}/out.csv'",
    "OUTFILE of SHOW": "SHOW TABLES INTO OUTFILE '{folder}/out.csv'",
    "OUTFILE of EXPLAIN": "EXPLAIN SELECT 1 INTO OUTFILE '{folder}/out.csv'",
    "OUTFILE of DESCRIBE": "DESCRIBE runs INTO OUTFILE '{folder}/out.csv'",
    "formatRow": "SELECT formatRow('Template', 1)",
}  # fmt: skip

# What this engine does not take for a statement at all; another may.
NO_SYNTAX = ("EXPLAIN EXPLAIN", "EXPLAIN TABLE", "SELECT {f", "file(")


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED)
def test_it_may_not(reader: Any, sql: str) -> None:
    sql = sql.format(folder=reader.folder)
    answer = said(reader, sql, param_d="other", param_t="t", param_f="file")
    assert answer.status in (400, 403, 404, 500), answer.text
    # Refused for what it asks, and not for how it is written.
    assert "Syntax error: failed" not in answer.text or sql.startswith(NO_SYNTAX), answer.text
    assert SECRET not in answer.text
    assert {"data", "secret.csv", "front.log"} == {path.name for path in reader.folder.iterdir()}


# Wherever an expression may stand, a function that reaches out is seen.
PLACES = [
    "SELECT {reach}",
    "SELECT {reach} AS `a b`",
    "SELECT DISTINCT ON ({reach}) 1",
    "WITH {reach} AS x SELECT x",
    "WITH x AS (SELECT {reach}) SELECT * FROM x",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT length({reach}) FROM r WHERE n < 0) SELECT n FROM r",
    "SELECT 1 FROM numbers(1) WHERE {reach} = ''",
    "SELECT 1 FROM runs PREWHERE {reach} = ''",
    "SELECT 1 FROM numbers(length({reach}))",
    "SELECT * FROM values('x String', {reach})",
    "SELECT * FROM (VALUES ({reach}))",
    "SELECT * FROM view(SELECT {reach})",
    "SELECT x FROM numbers(1) ARRAY JOIN [{reach}] AS x",
    "SELECT 1 FROM numbers(1) AS a JOIN numbers(1) AS b ON a.number = b.number AND {reach} = ''",
    "SELECT count() FROM numbers(1) GROUP BY {reach}",
    "SELECT count() FROM numbers(1) GROUP BY GROUPING SETS (({reach}), ())",
    "SELECT count() FROM numbers(1) GROUP BY ROLLUP({reach})",
    "SELECT count() FROM numbers(1) HAVING {reach} = ''",
    "SELECT 1 FROM numbers(1) QUALIFY row_number() OVER (ORDER BY {reach}) = 1",
    "SELECT sum(1) OVER w FROM numbers(1) WINDOW w AS (PARTITION BY {reach})",
    "SELECT sum(1) OVER (ORDER BY number ROWS BETWEEN length({reach}) PRECEDING AND CURRENT ROW) FROM numbers(1)",
    "SELECT 1 ORDER BY {reach}",
    "SELECT number FROM numbers(1) ORDER BY number WITH FILL TO length({reach})",
    "SELECT number, 'a' AS x FROM numbers(1) ORDER BY number WITH FILL INTERPOLATE (x AS {reach})",
    "SELECT number FROM numbers(1) LIMIT length({reach})",
    "SELECT number FROM numbers(1) LIMIT 1 BY {reach}",
    "SELECT number FROM numbers(1) LIMIT 1 OFFSET length({reach})",
    "SELECT * REPLACE ({reach} AS number) FROM numbers(1)",
    "SELECT COLUMNS('n') REPLACE ({reach} AS number) FROM numbers(1)",
    "SELECT sumIf(1, {reach} = '')",
    "SELECT sum(1) FILTER (WHERE {reach} = '')",
    "SELECT quantile(length({reach}))(1)",
    "SELECT arrayMap(x -> {reach}, [1])",
    "SELECT CASE {reach} WHEN '' THEN 1 END",
    "SELECT {reach} IN ('')",
    "SELECT 1 IN (SELECT length({reach}))",
    "SELECT [{reach}][1], ({reach}, 1).1, map('a', {reach})",
    "SELECT {reach}::String, CAST({reach} AS String), {reach} BETWEEN '' AND 'z', ({reach} ? 1 : 2)",
    "SELECT EXISTS(SELECT {reach})",
    "SELECT 1 UNION ALL SELECT length({reach})",
    "SELECT 1 EXCEPT SELECT length({reach})",
    "(SELECT 1) INTERSECT (SELECT length({reach}))",
    "DESCRIBE (SELECT {reach})",
    "EXPLAIN SYNTAX SELECT {reach}",
    "EXPLAIN QUERY TREE SELECT {reach}",
]
REACHES = [
    "file('{folder}/secret.csv')",
    "`file`('{folder}/secret.csv')",
    r"`\x66ile`('{folder}/secret.csv')",
    "arrayMap(file, ['{folder}/secret.csv'])[1]",
    "arrayMap(file AS f, ['{folder}/secret.csv'])[1]",
]


@pytest.mark.parametrize("place", PLACES)
def test_no_place_hides_a_function_that_reaches_out(reader: Any, place: str) -> None:
    # So that the refusals below are of the function, and not of the place.
    harmless = said(reader, place.format(reach="lower('x')"))
    assert "privileges" not in harmless.text and "Syntax error: failed" not in harmless.text, harmless.text
    for reach in REACHES:
        answer = said(reader, place.format(reach=reach.format(folder=reader.folder)))
        assert SECRET not in answer.text
        assert "not served to this user" in answer.text, answer.text


def test_what_it_was_refused_has_changed_nothing(reader: Any) -> None:
    assert "1\n" == reader.ask("SELECT count() FROM other.t").text
    assert "0\n" == reader.ask("SELECT count() FROM runwatch.schema_migrations").text
    assert "0\n" == reader.ask("SELECT count() FROM system.tables WHERE database = 'runwatch' AND name = 'x'").text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_limits_cannot_be_lifted_by_the_url(reader: Any, method: str) -> None:
    for name, value in {
        "max_execution_time": "61",
        "max_memory_usage": "0",
        "max_result_rows": "-1",
        "result_overflow_mode": "throw",
        "log_comment": "x",
        "allow_introspection_functions": "1",
    }.items():
        given = {name: value} if method == "POST" else {name: value, "query": "SELECT 1"}
        answer = reader.ask("SELECT 1" if method == "POST" else None, headers=READER, **given)
        assert answer.status == 500, (name, answer.text)
        assert "READONLY" in answer.text or "SETTING_CONSTRAINT_VIOLATION" in answer.text


def test_readonly_cannot_be_lifted_by_the_url(reader: Any) -> None:
    answer = said(reader, "INSERT INTO runwatch.schema_migrations (number, name) SELECT 1, 'x'", readonly="0")
    assert 403 == answer.status
    assert "1\n" == reader.ask(headers=READER, query="SELECT 1", readonly="0").text


def test_limits_can_be_lowered(reader: Any) -> None:
    answer = said(reader, "SELECT number FROM numbers(100000)", max_result_rows="10", wait_end_of_query="1")
    assert 10 <= len(answer.text.splitlines()) <= 8192


def test_a_query_ends_when_its_time_is_up(reader: Any) -> None:
    began = time.monotonic()
    answer = said(
        reader, "SELECT sum(sipHash64(hex(MD5(toString(number))))) FROM numbers(1900000000)", max_execution_time="1"
    )
    assert 408 == answer.status
    assert "TIMEOUT_EXCEEDED" in answer.text
    assert time.monotonic() - began < 5


def test_a_query_ends_when_its_memory_is_used_up(reader: Any) -> None:
    answer = said(reader, "SELECT groupArray(randomString(100)) FROM numbers(100000000)")
    assert "MEMORY_LIMIT_EXCEEDED" in answer.text


def test_the_database_of_the_request_does_not_matter(reader: Any) -> None:
    assert "runwatch\n" == said(reader, "SELECT currentDatabase()", database="other").text
    assert 404 == said(reader, "SELECT * FROM t", database="other").status


def test_it_brings_no_tables(reader: Any) -> None:
    form = '--b\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--b--\r\n'
    headers = {**READER, "Content-Type": "multipart/form-data; boundary=b"}
    answer = reader.ask(form, headers=headers, query="SELECT * FROM t", t_structure="a Int8")
    assert 403 == answer.status


def test_errors_name_the_place_in_what_was_asked(reader: Any) -> None:
    assert "failed at position 14 (runs) (line 1, col 14)" in said(reader, "SELECT 1 FOM runs").text
    assert "'(' at position 8 (line 1, col 8) is never closed" in said(reader, "SELECT (1 AS x FROM runs").text
    assert "failed at position 17 (runs) (line 2, col 7)" in said(reader, "SELECT 1,\n2 FOM runs").text


def test_names_and_types_come_once_however_long_the_result(reader: Any) -> None:
    answer = said(reader, "SELECT number FROM numbers(30000)", default_format="JSONCompactEachRowWithNamesAndTypes")
    lines = answer.text.splitlines()
    assert ['["number"]', '["UInt64"]', "[0]"] == lines[:3]
    assert 30002 == len(lines)


def test_a_wrong_password_is_refused(reader: Any) -> None:
    for headers in ({**READER, "X-ClickHouse-Key": ""}, {**READER, "X-ClickHouse-Key": "x"}):
        assert 403 == reader.ask("SELECT 1", headers=headers).status


def test_nothing_secret_is_in_the_arguments_or_the_log(reader: Any) -> None:
    arguments = Path(f"/proc/{reader.process.pid}/cmdline").read_bytes()
    assert b"a secret" not in arguments
    assert "a secret" not in (reader.folder / "front.log").read_text()


def test_the_main_user_may_do_what_it_could(reader: Any) -> None:
    reader.ask("CREATE TABLE other.u (a Int8) ENGINE = MergeTree ORDER BY a")
    assert 200 == reader.ask("INSERT INTO other.u VALUES (1)").status
    assert f'"{SECRET}"' not in reader.ask("SELECT 1").text
    assert f"{SECRET}\n" == reader.ask(f"SELECT * FROM file('{reader.folder}/secret.csv', CSV, 'a String')").text


def test_without_a_reader_there_is_none(front: Any) -> None:
    assert 403 == front.ask("SELECT 1", headers=READER).status


def test_two_at_a_time_do_not_hold_up_the_main_user(reader: Any) -> None:
    slow = "SELECT sum(sipHash64(hex(MD5(toString(number))))) FROM numbers(1900000000)"
    threads = [threading.Thread(target=said, args=(reader, slow), kwargs={"max_execution_time": "3"}) for _ in range(9)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert "1\n" == reader.ask("SELECT 1").text
    assert time.monotonic() - began < 2
    for thread in threads:
        thread.join()


def test_settings_name_the_usual_database() -> None:
    assert "runwatch" == Settings().database
