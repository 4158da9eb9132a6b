"""chdb, one fresh connection per query.

A connection costs under half a millisecond as long as one stays open, and a fresh one has no settings, database or
temporary tables of an earlier query's. The functions block: the server calls them from threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb

from .errors import SYNTAX_ERROR, ClickHouseError, from_engine, raised

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
    }
)


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


class Engine:
    """The database at `path`, open from construction to :meth:`close`."""

    def __init__(self, path: Path, query_memory: int = 1 << 30) -> None:
        """Open it. A statement may take `query_memory` bytes unless it sets max_memory_usage itself.

        Groups and sorts go to disk from half of that on.
        """
        path.mkdir(parents=True, exist_ok=True)
        self._defaults = {
            "max_memory_usage": str(query_memory),
            "max_bytes_before_external_group_by": str(query_memory // 2),
            "max_bytes_before_external_sort": str(query_memory // 2),
        }
        self._path = str(path)
        self._keeper = _connect(self._path)
        self._keeper_lock = threading.Lock()
        self._closed = False
        version, self.timezone = self._ask("SELECT version(), timezone()").split("\t")
        self.version = version

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

    def stream(self, work: Work) -> Iterator[bytes]:
        """The output of a SELECT in pieces, for a format of :data:`STREAMABLE`. Closing it cancels the query."""
        connection = self._connect(work)
        try:
            result = connection.send_query(work.sql, work.format, params=dict(work.params))
            try:
                while piece := bytes(connection.streaming_fetch_result(result).bytes()):
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
        connection = _connect(self._path + "?mode=ro" if work.readonly else self._path)
        try:
            # The engine names queries itself; the comment is how cancel() finds this one.
            settings = {**self._defaults, "log_comment": work.query_id, **work.settings}
            connection.query("SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items()))
            if work.database:
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
