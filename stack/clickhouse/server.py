"""The HTTP side: routes, headers, threads for the engine, answers whole or in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from .access import Accounts, check_origin
from .compression import Packer, negotiate
from .engine import STREAMABLE, Answer, Engine
from .errors import ClickHouseError, raised
from .request import Request, read_request

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_CONTENT_TYPES = (
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONCompactEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
    ("CSV", "text/csv; charset=UTF-8; header=absent"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Native", "application/octet-stream"),
    ("RowBinary", "application/octet-stream"),
    ("Arrow", "application/octet-stream"),
    ("Parquet", "application/octet-stream"),
    ("Avro", "application/octet-stream"),
)
_QUEUE = 200
_READER_TURNS = 2
# A SELECT that the engine cannot stream (a SHOW behind a WITH, say) is run whole instead.
_NOT_STREAMABLE = "Streaming query is not supported"


class Front:
    """The server's handlers around one :class:`Engine`.

    At most `connections` statements run at a time, two of the reading user's: what people ask must not keep what is
    to be stored waiting. Up to 200 more wait their turn, and the next is refused with code 202. `limit` is the
    largest body, in bytes, once unpacked.
    """

    def __init__(
        self, engine: Engine, folder: Path, accounts: Accounts, connections: int = 8, limit: int = 1 << 30
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._accounts = accounts
        self._limit = limit
        self._turns = asyncio.Semaphore(connections)
        self._reader_turns = asyncio.Semaphore(_READER_TURNS)
        self._waiting = 0
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="engine")
        self._control = ThreadPoolExecutor(1, thread_name_prefix="control")
        self._name = socket.gethostname()

    def application(self) -> web.Application:
        """The routes, ready to be served."""
        app = web.Application()
        app.router.add_get("/ping", self._ok)
        app.router.add_get("/replicas_status", self._ok)
        app.router.add_get("/", self._query)
        app.router.add_post("/", self._query)
        app.router.add_route("*", "/{path:.*}", self._nowhere)
        app.on_cleanup.append(self._on_cleanup)
        return app

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n", headers=self._headers())

    async def _nowhere(self, request: web.Request) -> web.Response:
        text = f"There is no handle {request.path}\n\nUse /ping for health, and / with POST or ?query= for queries.\n"
        return web.Response(status=404, text=text)

    async def _on_cleanup(self, _: web.Application) -> None:
        # Statements under way end first: what a client was told is stored is stored.
        await asyncio.to_thread(self._threads.shutdown, True)
        self._control.shutdown()
        self._engine.close()

    def _headers(self) -> dict[str, str]:
        return {"X-ClickHouse-Server-Display-Name": self._name}

    async def _query(self, request: web.Request) -> web.StreamResponse:
        query_id = request.query.get("query_id", "")
        try:
            check_origin(request.headers)
            reader = self._accounts.check(request.headers, request.query)
            if request.method in ("GET", "HEAD") and not request.query.get("query"):
                return await self._ok(request)
            asked = await read_request(request, self._folder, self._limit, reader=reader)
            query_id = asked.work.query_id
            return await self._respond(request, asked)
        except ClickHouseError as error:
            return self._refusal(request, error, query_id)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("a request failed")
            return self._refusal(
                request, raised(1002, "UNKNOWN_EXCEPTION", "The server failed; its log says how"), query_id
            )

    def _refusal(self, request: web.Request, error: ClickHouseError, query_id: str) -> web.Response:
        shown = query_id if query_id.isprintable() else ""
        headers = {**self._headers(), "X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": shown}
        if error.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        text = error.message if "(version " in error.message else f"{error.message} (version {self._engine.version})"
        return web.Response(status=error.status, text=text + "\n", headers=headers)

    async def _respond(self, request: web.Request, asked: Request) -> web.StreamResponse:
        if asked.shape.outfile:
            asked.close()
            raise raised(344, "SUPPORT_IS_DISABLED", "INTO OUTFILE and FROM INFILE are not allowed over HTTP")
        format_name = asked.shape.format or asked.work.format
        streams = asked.shape.verb in ("SELECT", "WITH") and format_name in STREAMABLE and not asked.buffered
        if self._waiting >= _QUEUE:
            asked.close()
            raise raised(202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"{_QUEUE} queries wait already")
        self._waiting += 1
        turns = (self._reader_turns, self._turns) if asked.work.reader else (self._turns,)
        async with contextlib.AsyncExitStack() as held:
            held.callback(asked.close)
            try:
                for turn in turns:
                    await held.enter_async_context(turn)
            finally:
                self._waiting -= 1
            if streams:
                try:
                    return await self._stream(request, asked, format_name)
                except ClickHouseError as error:
                    if _NOT_STREAMABLE not in error.message:
                        raise
            answer = await self._run(asked)
        return self._whole(request, asked, format_name, answer)

    async def _run(self, asked: Request) -> Answer:
        """Run to the end in a thread. An abandoned query is cancelled there; an abandoned INSERT goes on."""
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._threads, self._engine.run, asked.work)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            if asked.shape.verb in ("SELECT", "WITH", "SHOW", "EXPLAIN"):
                loop.run_in_executor(self._control, self._engine.cancel, asked.work.query_id)
            await asyncio.wait([job])
            raise

    def _answer_headers(self, asked: Request, format_name: str) -> dict[str, str]:
        content_type = next((kind for start, kind in _CONTENT_TYPES if format_name.startswith(start)), None)
        return {
            **self._headers(),
            "Content-Type": content_type or "text/plain; charset=UTF-8",
            "X-ClickHouse-Query-Id": asked.work.query_id,
            "X-ClickHouse-Format": format_name,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }

    def _whole(self, request: web.Request, asked: Request, format_name: str, answer: Answer) -> web.Response:
        headers = self._answer_headers(asked, format_name)
        headers["X-ClickHouse-Summary"] = json.dumps(answer.summary(), separators=(",", ":"))
        encoding = _encoding(request, asked)
        body = answer.body
        if encoding is not None and body:
            packer = Packer(encoding)
            body = packer.add(body) + packer.end()
            headers["Content-Encoding"] = encoding
        return web.Response(body=body, headers=headers)

    async def _stream(self, request: web.Request, asked: Request, format_name: str) -> web.StreamResponse:
        pieces = self._engine.stream(asked.work, asked.shape.format)
        try:
            # The headers wait for the first piece: most errors show up by then, and get their status.
            first = await self._next(pieces, asked)
            headers = self._answer_headers(asked, format_name)
            encoding = _encoding(request, asked)
            if encoding is not None and first is not None:
                headers["Content-Encoding"] = encoding
            response = web.StreamResponse(headers=headers)
            packer = Packer(encoding) if encoding is not None and first is not None else None
            await response.prepare(request)
            piece = first
            try:
                while piece is not None:
                    await response.write(packer.add(piece) if packer else piece)
                    piece = await self._next(pieces, asked)
            except ClickHouseError as error:
                # As ClickHouse does mid-stream: the error as the last text, and no proper end to the body.
                tail = f"\n{error.message}\n".encode()
                await response.write(packer.add(tail) + packer.end() if packer else tail)
                if request.transport is not None:
                    request.transport.close()
                return response
            await response.write_eof(packer.end() if packer else b"")
            return response
        finally:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, pieces.close))  # type: ignore[attr-defined]

    async def _next(self, pieces: Iterator[bytes], asked: Request) -> bytes | None:
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._threads, _next_piece, pieces)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            loop.run_in_executor(self._control, self._engine.cancel, asked.work.query_id)
            await asyncio.wait([job])
            raise


def _next_piece(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def _encoding(request: web.Request, asked: Request) -> str | None:
    return negotiate(request.headers.get("Accept-Encoding", "")) if asked.compress else None
