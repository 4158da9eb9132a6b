"""Queries of people, by ClickHouse's reading user: bounded, one by one to be ended, never held whole in memory."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ...clickhouse import StoreAway, StoreDenied
from ...config import Settings
from ...sinks.query import Reader
from .sql_wire import SqlError, Wire

T = TypeVar("T")

ROWS: Final = 10_000
"""Rows that are shown, at most."""
BYTES: Final = 8 << 20
"""And so many bytes of text."""
SERVER_BYTES: Final = 64 << 20
"""ClickHouse itself leaves off there, so that neither side holds a result of any size."""
SECONDS: Final = 15
EXPORT_ROWS: Final = 1_000_000
EXPORT_SECONDS: Final = 60
AT_A_TIME: Final = 8
TICKET_S: Final = 60.0
_PIECE: Final = 256 << 10
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

OFF: Final = (
    "There is no user to ask by. Set RUNWATCH_SQL_USER and RUNWATCH_SQL_PASSWORD to a user of ClickHouse "
    "that can only read runwatch's database; deploy/clickhouse has it ready. `runwatch up` makes one by itself."
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result; `type` is ClickHouse's name of it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave. `rows` hold JSON values, a value a column."""

    columns: tuple[Column, ...]
    rows: list[list[Any]]
    cut: bool
    """Whether there was more than is here."""
    why_cut: str | None
    elapsed_ms: float
    read_rows: int | None
    """Rows that ClickHouse read for it; None where it did not say."""
    read_bytes: int | None


@dataclass(frozen=True, slots=True)
class View:
    """A view that can be asked, with its columns."""

    name: str
    columns: tuple[Column, ...]


class Query:
    """One query on its way. `run` blocks; `stop` may be called from any thread, before or while it runs."""

    def __init__(self, settings: Settings, sql: str, rows: int) -> None:
        self._rows = rows
        limits = {"max_execution_time": SECONDS, "max_result_rows": rows + 1, "max_result_bytes": SERVER_BYTES}
        self._wire = Wire(settings, sql, _new_id(), limits)

    def stop(self) -> None:
        """End it."""
        self._wire.cut()

    def run(self) -> Result:
        """The result, cut where it is too long. Raises `SqlError` and `StoreError`."""
        began = time.monotonic()
        lines = self._wire.rows(whole=True)
        try:
            names = next(lines, [])
            types = next(lines, [])
            rows: list[list[Any]] = []
            size = 0
            why = None
            for row in lines:
                size += _size(row)
                if len(rows) == self._rows:
                    why = f"Only the first {self._rows:,} rows are here; CSV has up to {EXPORT_ROWS:,}."
                elif size > BYTES:
                    why = f"Only the first {len(rows):,} rows are here, {BYTES >> 20} MB; select fewer columns."
                if why:
                    break
                rows.append(row)
        finally:
            lines.close()  # type: ignore[attr-defined]  # a generator, whose close ends the query
        return Result(
            columns=tuple(Column(str(name), str(kind)) for name, kind in zip(names, types, strict=False)),
            rows=rows,
            cut=why is not None,
            why_cut=why,
            elapsed_ms=(time.monotonic() - began) * 1000,
            read_rows=self._wire.summary.get("read_rows"),
            read_bytes=self._wire.summary.get("read_bytes"),
        )


class Export:
    """A result as CSV, in pieces. `piece` blocks; `close` ends it and may be called from any thread."""

    def __init__(self, settings: Settings, sql: str, rows: int) -> None:
        limits = {"max_execution_time": EXPORT_SECONDS, "max_result_rows": rows + 1}
        self._wire = Wire(settings, sql, _new_id(), limits)
        self._pieces = self._written(rows)

    def piece(self) -> bytes | None:
        """The next of it, or None at its end. Raises `SqlError` and `StoreError`."""
        return next(self._pieces, None)

    def close(self) -> None:
        """End it."""
        self._wire.cut()

    def _written(self, most: int) -> Iterator[bytes]:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\r\n")
        lines = self._wire.rows(whole=False)
        writer.writerow([csv_cell(name) for name in next(lines, [])])
        next(lines, None)
        for number, row in enumerate(lines):
            if number == most:
                writer.writerow([f"(cut: only the first {most:,} rows are here)"])
                self._wire.cut()
                break
            writer.writerow([csv_cell(value) for value in row])
            if text.tell() > _PIECE:
                yield text.getvalue().encode()
                text.seek(0)
                text.truncate()
        yield text.getvalue().encode()


@dataclass(frozen=True, slots=True)
class Started:
    """An export whose first piece was read."""

    export: Export
    first: bytes | None


class Tickets:
    """Downloads that a page has begun: each is good once, for a minute.

    A link that anybody could make would let other sites' pages ask.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Started]] = {}

    def make(self, started: Started) -> str:
        """A ticket for the rest of `started`."""
        self._drop_old()
        ticket = secrets.token_urlsafe(24)
        self._kept[ticket] = (self._clock() + TICKET_S, started)
        return ticket

    def take(self, ticket: str) -> Started | None:
        """What it is for; None where it is none, was taken, or is too old."""
        self._drop_old()
        found = self._kept.pop(ticket, None)
        return found[1] if found else None

    def _drop_old(self) -> None:
        now = self._clock()
        for ticket in [ticket for ticket, (until, _) in self._kept.items() if until <= now]:
            self._kept.pop(ticket)[1].export.close()


class SqlDesk:
    """Where people's queries are asked. `AT_A_TIME` of them run; who comes then is told to wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="console-sql")
        self._running = 0
        self.tickets = Tickets()

    @property
    def is_on(self) -> bool:
        """Whether there is a user for it. Another user is never taken instead."""
        settings = self._settings
        return bool(settings.sql_user) and settings.sql_user != settings.clickhouse_user

    def query(self, sql: str, rows: int = ROWS) -> Query:
        """A query to be asked. Raises `SqlError` where there is nothing in it, `StoreDenied` where SQL is off."""
        self._check(sql)
        return Query(self._settings, sql, min(max(rows, 1), ROWS))

    def export(self, sql: str, rows: int = EXPORT_ROWS) -> Export:
        """The same as CSV."""
        self._check(sql)
        return Export(self._settings, sql, min(max(rows, 1), EXPORT_ROWS))

    async def run(self, query: Query) -> Result:
        """Asks it. Whoever stops waiting ends it."""
        return await self.threaded(query.run, query.stop)

    async def threaded(self, work: Callable[[], T], stop: Callable[[], None]) -> T:
        """What `work` returns, in a thread; `stop` is called if nobody waits for it any more."""
        if self._running >= AT_A_TIME:
            raise StoreAway(f"{AT_A_TIME} queries are under way already; try again in a while.")
        self._running += 1
        job = asyncio.get_running_loop().run_in_executor(self._threads, work)
        job.add_done_callback(self._one_less)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            stop()
            raise

    def close(self) -> None:
        """No more queries."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _one_less(self, job: asyncio.Future[Any]) -> None:
        self._running -= 1
        if not job.cancelled():
            job.exception()  # told to whoever waited, if anyone did

    def _check(self, sql: str) -> None:
        if not self.is_on:
            raise StoreDenied(OFF)
        if not sql.strip():
            raise SqlError("There is nothing to ask: write a query first.")


def views(reader: Reader) -> tuple[View, ...]:
    """The views that can be asked, by name, each with its columns in their order."""
    found: dict[str, list[Column]] = {}
    for row in reader.rows(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND table IN"
        " (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View')"
        " ORDER BY table, position"
    ):
        found.setdefault(row["table"], []).append(Column(row["name"], row["type"]))
    return tuple(View(name, tuple(columns)) for name, columns in found.items())


def csv_cell(value: Any) -> str:
    """A value as CSV has it. Text that a spreadsheet would take for a formula begins with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _size(row: Sequence[Any]) -> int:
    return sum(len(value) if isinstance(value, str) else len(str(value)) for value in row)


def _new_id() -> str:
    return f"console-sql-{uuid.uuid4()}"
