"""chdb, one fresh connection per query.

A connection costs under half a millisecond as long as one stays open, and a fresh one has no settings, database or
temporary tables of an earlier query's. The functions block: the server calls them from threads.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb

from .errors import SYNTAX_ERROR, ClickHouseError, from_engine, raised
from .reading import STATEMENT_BYTES, Known, Reading
from .roles import READING, write_roles

# The engine itself: the package's own Connection would refuse bytes and hide what was written.
_connect: Any = chdb._chdb.connect

# Formats whose pieces, one per block, join to one valid answer.
STREAMABLE = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONCompactEachRow",
        "JSONCompactEachRowWithNamesAndTypes",
    }
)
# Of these, lines at the beginning of every piece that belong to the first alone.
_HEADER_LINES = {"JSONCompactEachRowWithNamesAndTypes": 2}

# The line break keeps the columns that errors name as they are.
_EXPLAIN = "EXPLAIN AST\n"
_POSITION = re.compile(r"( at position )(\d+)")
_LINE = re.compile(r"\(line (\d+),")


@dataclass(frozen=True)
class Work:
    """One statement with everything around it.

    `settings` are applied with SET, `params` fill ``{name:Type}``; `tables` are created and filled before the
    statement: (name, structure, format, path).
    """

    sql: bytes
    query_id: str
    database: str = ""
    format: str = "TabSeparated"
    settings: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tables: Sequence[tuple[str, str, str, str]] = ()
    readonly: bool = False
    one_statement: bool = True
    reader: bool = False
    """Asked by the reading user: only what :class:`Reading` allows, in its database and within its limits."""


@dataclass(frozen=True)
class Answer:
    """The statement's output and what it read and wrote."""

    body: bytes
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    elapsed_ns: int

    def summary(self) -> dict[str, str]:
        """The numbers of ClickHouse's X-ClickHouse-Summary header, as the strings that it holds."""
        return {
            "read_rows": str(self.read_rows),
            "read_bytes": str(self.read_bytes),
            "written_rows": str(self.written_rows),
            "written_bytes": str(self.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": str(self.written_rows or 0),
            "result_bytes": str(self.written_bytes or len(self.body)),
            "elapsed_ns": str(self.elapsed_ns),
        }


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError as error:
        raise raised(SYNTAX_ERROR, "SYNTAX_ERROR", f"The statement is not UTF-8 (at byte {error.start})") from None


def _as_without(prefix: str, message: str) -> str:
    """A syntax error of `prefix` and a statement, with the places that it would name of the statement alone."""
    message = _POSITION.sub(lambda found: f"{found[1]}{int(found[2]) - len(prefix)}", message)
    return _LINE.sub(lambda found: f"(line {int(found[1]) - 1},", message)


class Engine:
    """The database at `path`, open from construction to :meth:`close`."""

    def __init__(self, path: Path, query_memory: int = 1 << 30, reading: str | None = None) -> None:
        """Open it. A statement may take `query_memory` bytes unless it sets max_memory_usage itself.

        Groups and sorts go to disk from half of that on. `reading` is the database of the reading user; None where
        there is no such user. RuntimeError where the engine would not hold that user to it.
        """
        path.mkdir(parents=True, exist_ok=True)
        self._defaults = {
            "max_memory_usage": str(query_memory),
            "max_bytes_before_external_group_by": str(query_memory // 2),
            "max_bytes_before_external_sort": str(query_memory // 2),
        }
        self._path = str(path)
        # Only the connection that opens the database reads a config.
        roles = f"?config-file={write_roles(path / 'roles', reading)}" if reading is not None else ""
        self._keeper = _connect(self._path + roles)
        self._keeper_lock = threading.Lock()
        self._closed = False
        version, self.timezone = self._ask("SELECT version(), timezone()").split("\t")
        self.version = version
        self._reading = self._open_reading(reading) if reading is not None else None

    def _open_reading(self, database: str) -> Reading:
        functions = self._ask(
            "SELECT name, alias_to, categories FROM system.functions WHERE origin = 'System' FORMAT JSONCompact"
        )
        tables = self._ask("SELECT name FROM system.table_functions FORMAT JSONCompact")
        known = Known.read(json.loads(functions)["data"], [row[0] for row in json.loads(tables)["data"]])
        connection = _connect(self._path)
        try:
            connection.query(f"SET ROLE {READING}")
            for right in ("INSERT ON *.*", "FILE ON *.*", "URL ON *.*", "REMOTE ON *.*", "SELECT ON default.*"):
                if connection.query(f"CHECK GRANT {right}", "TabSeparated").bytes().decode().strip() != "0":
                    raise RuntimeError(f"this chdb does not hold the reading user to its rights ({right})")
        finally:
            connection.close()
        return Reading(database, known, self._user_defined)

    def _user_defined(self) -> frozenset[str]:
        names = self._ask("SELECT lower(name) FROM system.functions WHERE origin != 'System' FORMAT JSONCompact")
        return frozenset(row[0] for row in json.loads(names)["data"])

    def _ask(self, sql: str) -> str:
        with self._keeper_lock:
            return str(self._keeper.query(sql, "TabSeparated").bytes().decode().rstrip("\n"))

    def run(self, work: Work) -> Answer:
        """Run `work` to its end; :class:`ClickHouseError` if the engine refuses it."""
        connection = self._connect(work)
        try:
            return _answer(connection.query(work.sql, work.format, params=dict(work.params)))
        except RuntimeError as error:
            raise from_engine(error, self.version) from None
        finally:
            connection.close()

    def stream(self, work: Work, format_name: str | None = None) -> Iterator[bytes]:
        """The output of a SELECT in pieces, for a format of :data:`STREAMABLE`. Closing it cancels the query.

        `format_name` is the format that the statement itself names.
        """
        connection = self._connect(work)
        try:
            result = connection.send_query(work.sql, work.format, params=dict(work.params))
            try:
                lines = _HEADER_LINES.get(format_name or work.format, 0)
                header = b""
                while piece := bytes(connection.streaming_fetch_result(result).bytes()):
                    if lines and not header:
                        header = b"".join(piece.splitlines(keepends=True)[:lines]) if lines else b""
                    elif header:
                        piece = piece.removeprefix(header)
                    yield piece
            except GeneratorExit:
                connection.streaming_cancel_query(result)
                raise
        except RuntimeError as error:
            raise from_engine(error, self.version) from None
        finally:
            connection.close()

    def cancel(self, query_id: str) -> None:
        """Ask the engine to stop the query that runs under `query_id`."""
        self._ask(f"KILL QUERY WHERE Settings['log_comment'] = {_quoted(query_id)} ASYNC")

    def close(self) -> None:
        """Close the database; every finished insert is on disk."""
        with self._keeper_lock:
            if not self._closed:
                self._closed = True
                self._keeper.close()

    def _connect(self, work: Work) -> Any:
        connection = _connect(self._path + "?mode=ro" if work.readonly and not work.reader else self._path)
        try:
            # The engine names queries itself; the comment is how cancel() finds this one.
            settings = {**self._defaults, "log_comment": work.query_id, **self._settings(work)}
            connection.query("SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items()))
            if work.reader:
                self._enter_reading(connection, work)
            elif work.database:
                connection.query(f"USE {_identifier(work.database)}")
            if work.one_statement:
                self._check_one(connection, work.sql)
            for name, structure, format_name, path in work.tables:
                connection.query(f"CREATE TEMPORARY TABLE {_identifier(name)} ({structure})")
                connection.query(f"INSERT INTO {_identifier(name)} FROM INFILE {_quoted(path)} FORMAT {format_name}")
        except ClickHouseError:
            connection.close()
            raise
        except RuntimeError as error:
            connection.close()
            raise from_engine(error, self.version) from None
        return connection

    def _settings(self, work: Work) -> Mapping[str, str]:
        if not work.reader:
            return work.settings
        if self._reading is None:
            raise raised(516, "AUTHENTICATION_FAILED", "There is no reading user here")
        return self._reading.settings(work.settings)

    def _enter_reading(self, connection: Any, work: Work) -> None:
        """Give up all rights but the reader's, then let the statement be judged by its parse."""
        assert self._reading is not None
        if work.tables or not work.one_statement:
            raise raised(497, "ACCESS_DENIED", "Not enough privileges: this user brings no data")
        if len(work.sql) > STATEMENT_BYTES:
            raise raised(SYNTAX_ERROR, "SYNTAX_ERROR", f"A statement is at most {STATEMENT_BYTES} bytes long")
        connection.query(f"USE {_identifier(self._reading.database)}")
        connection.query(f"SET ROLE {READING}")
        connection.query("SET readonly = 1")
        sql = _text(work.sql)
        kind = connection.classify_query(sql)
        if kind["statement_count"] > 1:
            raise raised(SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        if kind["statement_count"] == 1 and kind["query_class"].name != "READ_ONLY":
            raise raised(497, "ACCESS_DENIED", "Not enough privileges: this user may only read")
        if not self._reading.check_show(sql):
            try:
                tree = connection.query(f"{_EXPLAIN}{sql}", "TabSeparatedRaw", params=dict(work.params))
            except RuntimeError as error:
                raise RuntimeError(_as_without(_EXPLAIN, str(error))) from None
            self._reading.check_tree(tree.bytes().decode())

    def _check_one(self, connection: Any, sql: bytes) -> None:
        if b";" not in sql:
            return
        count = connection.classify_query(sql.decode(errors="replace"))["statement_count"]
        if count > 1:
            raise raised(SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")


def _answer(result: Any) -> Answer:
    return Answer(
        body=result.bytes(),
        read_rows=result.storage_rows_read() or result.rows_read(),
        read_bytes=result.storage_bytes_read() or result.bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )
