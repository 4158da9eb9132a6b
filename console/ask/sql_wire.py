"""One query over ClickHouse's HTTP interface, which can be ended at any moment from another thread.

The client that everything else goes by has a pool of connections and asks ClickHouse for its settings first; here a
query is a connection, so that to cut it is to end the query, and its answer is read line by line.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from ...clickhouse import StoreAway, StoreDenied, StoreError, known, tls_context
from ...config import Settings

CONNECT_S: Final = 5.0
MARGIN_S: Final = 15.0
"""So much longer than the query's own limit an answer is waited for: others' queries may be before it."""
LINE_BYTES: Final = 8 << 20
_FORMAT: Final = "JSONCompactEachRowWithNamesAndTypes"
_ERROR_BYTES: Final = 64 << 10

_CODE: Final = re.compile(r"Code: (\d+)")
_WRAPPING: Final = re.compile(r"^(?:Code: \d+\. )?(?:DB::Exception: )+")
_VERSION: Final = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?[^()]*\)")
_NAME: Final = re.compile(r"\s*\([A-Z][A-Z_0-9]+\)\s*$")
_PLACE: Final = re.compile(r"\(line (\d+), col (\d+)\)")
_EXPECTED: Final = re.compile(r"\. Expected one of: (.*)$", re.DOTALL)
_DENIED: Final = frozenset((192, 193, 194, 516))
_BUSY: Final = frozenset((202, 203, 210, 425))


class SqlError(StoreError):
    """ClickHouse refused the query, or ended it. `line` and `column`, from 1, are where it says it went wrong."""

    def __init__(self, message: str, code: int | None = None, place: tuple[int, int] | None = None) -> None:
        super().__init__(message, code)
        self.line = place[0] if place else None
        self.column = place[1] if place else None


class SqlStopped(SqlError):
    """Someone ended it."""


class Wire:
    """One query. To be asked once, in one thread; `cut` may be called from any."""

    def __init__(self, settings: Settings, sql: str, query_id: str, limits: Mapping[str, int]) -> None:
        self._settings = settings
        self._sql = sql
        self._query_id = query_id
        self._limits = limits
        self._socket: socket.socket | None = None
        self._guard = threading.Lock()
        self._is_cut = False
        self.summary: dict[str, int] = {}
        """What ClickHouse read for it, where it says so: read_rows, read_bytes."""

    def cut(self) -> None:
        """End it; ClickHouse ends a query whose asker is gone."""
        with self._guard:
            self._is_cut = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def rows(self, *, whole: bool) -> Iterator[list[Any]]:
        """The columns' names, their types, then row after row.

        `whole`: ClickHouse is to finish before it answers, so that every error is told as one and `summary` is known.
        Raises `SqlError`, `SqlStopped`, `StoreAway` and `StoreDenied`. To close it is to end the query.
        """
        answer = None
        try:
            answer = self._send(whole)
            if answer.status != 200:
                raise self._refused(answer.read(_ERROR_BYTES).decode(errors="replace"))
            if answer.headers.get("X-ClickHouse-Format", _FORMAT) != _FORMAT:
                raise SqlError("Leave FORMAT out: the page asks for a format of its own, and makes CSV of it.")
            with contextlib.suppress(ValueError):
                told = json.loads(answer.headers.get("X-ClickHouse-Summary") or "{}")
                self.summary = {name: int(value) for name, value in told.items() if str(value).isdecimal()}
            while line := answer.readline(LINE_BYTES + 1):
                if len(line) > LINE_BYTES:
                    raise SqlError(f"A row is longer than {LINE_BYTES >> 20} MB: select less of it.")
                yield self._row(line)
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from None
        finally:
            if answer is not None:
                answer.close()
            if self._socket is not None:
                self._socket.close()

    def _send(self, whole: bool) -> http.client.HTTPResponse:
        settings = self._settings
        place = urlsplit(settings.clickhouse)
        host = place.hostname or ""
        connection = (
            http.client.HTTPSConnection(host, place.port or 8443, context=tls_context(settings))
            if place.scheme == "https"
            else http.client.HTTPConnection(host, place.port or 8123)
        )
        connection.timeout = CONNECT_S
        connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(self._limits["max_execution_time"] + MARGIN_S)
        with self._guard:
            if self._is_cut:
                connection.close()
                raise ConnectionAbortedError
            self._socket = connection.sock
        asked: dict[str, str | int] = {
            "database": settings.database,
            "default_format": _FORMAT,
            "query_id": self._query_id,
            "wait_end_of_query": int(whole),
            **self._limits,
        }
        named = f"{settings.sql_user}:{known(settings.sql_secret)}"
        headers = {
            "Authorization": "Basic " + base64.b64encode(named.encode()).decode(),
            "Content-Type": "text/plain; charset=utf-8",
        }
        connection.request("POST", f"/?{urlencode(asked)}", self._sql.encode(errors="replace"), headers)
        return connection.getresponse()

    def _row(self, line: bytes) -> list[Any]:
        text = line.decode(errors="replace")
        try:
            row = json.loads(text)
        except ValueError:
            # An error after the first rows stands where the next would be.
            raise self._refused(text) from None
        if not isinstance(row, list):
            raise self._refused(text)
        return row

    def _gone(self, error: Exception) -> StoreError:
        if self._is_cut:
            return SqlStopped("Stopped.")
        where = self._settings.clickhouse
        if isinstance(error, TimeoutError) and self._socket is not None:
            return StoreAway(f"ClickHouse at {where} has not answered in time: it may be busy with others' queries.")
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return StoreAway(f"ClickHouse does not answer at {where} ({why}); is it up?")

    def _refused(self, text: str) -> StoreError:
        found = _CODE.search(text)
        code = int(found[1]) if found else None
        if code in _DENIED:
            return StoreDenied(
                f"ClickHouse at {self._settings.clickhouse} does not let the SQL page's user in; "
                "see RUNWATCH_SQL_USER and RUNWATCH_SQL_PASSWORD",
                code,
            )
        if code in _BUSY:
            return StoreAway("ClickHouse has too many queries at the moment; try again in a while.", code)
        if self._is_cut:
            return SqlStopped("Stopped.", code)
        place = _PLACE.search(text)
        said = understood(text, code, self._limits)
        return SqlError(said, code, (int(place[1]), int(place[2])) if place else None)


def understood(text: str, code: int | None, limits: Mapping[str, int]) -> str:
    """ClickHouse's own sentence without what only its developers need; where a limit was met, ours."""
    if code == 159:
        return f"The query took longer than {limits['max_execution_time']} s and was ended: ask for less time or less."
    if code == 241:
        return "The query needs more memory than it may take: ask for less time, or group by fewer things."
    if code == 158:
        return "The query would read more rows than it may: ask for less time."
    said = _WRAPPING.sub("", text.strip())
    said = _NAME.sub("", _VERSION.sub("", said)).strip()
    said = _WRAPPING.sub("", said)
    expected = _EXPECTED.search(said)
    if expected and len(expected[1]) > 160:
        said = f"{said[: expected.start()]}."
    return (said if said.endswith((".", "?", "!")) else f"{said}.") if said else "ClickHouse refused the query."
