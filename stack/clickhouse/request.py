"""One HTTP request, taken apart: the statement, the data of an INSERT, parameters, settings, external tables."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import BodyPartReader, web

from .compression import decompress, known, too_large
from .engine import Work
from .errors import SYNTAX_ERROR, raised
from .spool import Spool
from .statement import Insert, Shape, StatementError, parse_insert, shape_of

# A statement's own length, as ClickHouse's max_query_size: an INSERT's data begins before this.
HEAD_BYTES = 256 << 10
# What is read into memory as one statement, when no data could be told apart from it.
STATEMENT_BYTES = 16 << 20

# URL parameters that are no settings. Sessions are accepted and each request gets a fresh one; `readonly` chooses
# the kind of connection.
_RESERVED = frozenset(
    {
        "add_http_cors_header", "buffer_size", "client_protocol_version", "close_session", "compress", "database",
        "decompress", "default_format", "enable_http_compression", "hsts_max_age", "http_headers_progress_interval_ms",
        "http_response_buffer_size", "password", "query", "query_id", "quota_key", "readonly", "role",
        "send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "stacktrace", "user",
        "wait_end_of_query",
    }
)  # fmt: skip


@dataclass
class Request:
    """What one request asks for. `spools` hold data on its way and must be closed."""

    work: Work
    shape: Shape
    compress: bool
    buffered: bool
    spools: list[Spool] = field(default_factory=list)

    def close(self) -> None:
        """Let go of the data."""
        for spool in self.spools:
            spool.close()
        self.spools.clear()


@dataclass
class _Body:
    """The statement as far as the body tells it."""

    sql: bytes = b""
    insert: Insert | None = None
    fields: dict[str, str] = field(default_factory=dict)
    tables: list[tuple[str, Spool]] = field(default_factory=list)


async def read_request(request: web.Request, folder: Path, limit: int, *, reader: bool = False) -> Request:
    """Read `request` to its end. At most `limit` bytes of body, once unpacked; spools go to `folder`.

    `reader`: it is the reading user's, who brings no data but a statement.
    """
    if reader:
        limit = min(limit, HEAD_BYTES)
    params = dict(request.query)
    spools: list[Spool] = []
    try:
        body = await _read_body(request, params.get("query", "").encode(), folder, limit, spools)
        params.update(body.fields)
        return Request(
            work=replace(_work(request, params, body, spools), reader=reader),
            shape=shape_of(body.sql) if body.insert is None else Shape("INSERT", None, False),
            compress=params.get("enable_http_compression", "0") in ("1", "true"),
            buffered=params.get("wait_end_of_query", "0") in ("1", "true"),
            spools=spools,
        )
    except BaseException:
        for spool in spools:
            spool.close()
        raise


def _work(request: web.Request, params: Mapping[str, str], body: _Body, spools: list[Spool]) -> Work:
    for name in ("compress", "decompress"):
        if params.get(name, "0") not in ("0", "false", ""):
            text = f"'{name}=1', ClickHouse's own block framing, is not served here: use HTTP's encodings instead"
            raise raised(48, "NOT_IMPLEMENTED", text)
    if not params.get("query_id", "").isprintable():
        raise raised(117, "INCORRECT_DATA", "A query_id goes into a header: it has printable characters alone")
    external = {name for name, _ in body.tables}
    described = {f"{name}_{what}" for name in external for what in ("format", "types", "structure")}
    settings = {
        name: value
        for name, value in params.items()
        if name not in _RESERVED and name not in described and not name.startswith("param_")
    }
    for name in settings:
        if not name.isidentifier():
            raise raised(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    return Work(
        sql=body.sql if body.insert is None else body.insert.from_file(spools[0].path),
        query_id=params.get("query_id") or str(uuid.uuid4()),
        database=params.get("database") or request.headers.get("X-ClickHouse-Database") or "",
        format=params.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated",
        settings=settings,
        params={name[6:]: value for name, value in params.items() if name.startswith("param_")},
        tables=[_table(name, spool, params) for name, spool in body.tables],
        readonly=request.method in ("GET", "HEAD") or params.get("readonly", "0") != "0",
        one_statement=body.insert is None,
    )


def _table(name: str, spool: Spool, params: Mapping[str, str]) -> tuple[str, str, str, str]:
    structure = params.get(f"{name}_structure", "")
    if not structure:
        types = [kind.strip() for kind in params.get(f"{name}_types", "").split(",") if kind.strip()]
        structure = ", ".join(f"_{number} {kind}" for number, kind in enumerate(types, 1))
    if not structure:
        raise raised(36, "BAD_ARGUMENTS", f"The external table {name} needs {name}_structure or {name}_types")
    format_name = params.get(f"{name}_format", "TabSeparated")
    if not format_name.isidentifier():
        raise raised(73, "UNKNOWN_FORMAT", f"Unknown format {format_name}")
    return name, structure, format_name, spool.path


async def _read_body(request: web.Request, query: bytes, folder: Path, limit: int, spools: list[Spool]) -> _Body:
    if request.content_type == "multipart/form-data":
        try:
            return await _read_form(request, query, folder, limit, spools)
        except (ValueError, AssertionError) as error:  # whatever aiohttp's reader of forms meets
            raise raised(117, "INCORRECT_DATA", f"The form cannot be read: {str(error)[:200]}") from None
    try:
        insert = parse_insert(query) if query else None
        pieces = _pieces(request, limit)
        text = query if insert is not None else await _head(query, pieces)
        if insert is None:
            insert = parse_insert(text)
            small = insert is not None and insert.format == "Values" and len(text) < HEAD_BYTES
            if small or insert is None:
                # Values may hold expressions with {parameters}, which only a whole statement resolves.
                return _Body(sql=await _rest(text, pieces))
        elif insert.format == "Values":
            text = await _head(text, pieces)
            if len(text) < HEAD_BYTES:
                return _Body(sql=text)
    except StatementError as error:
        raise raised(SYNTAX_ERROR, "SYNTAX_ERROR", f"Syntax error: {error}") from None
    spool = Spool(folder)
    spools.append(spool)
    spool.write(memoryview(text)[insert.data_at :])
    async for piece in pieces:
        spool.write(piece)
    return _Body(sql=insert.head, insert=insert)


async def _head(text: bytes, pieces: AsyncIterator[bytes | memoryview]) -> bytes:
    """`text` with as much of the body behind it as a statement may be long."""
    head = bytearray(text)
    async for piece in pieces:
        if text and len(head) == len(text):
            head += b"\n"
        head += piece
        if len(head) >= HEAD_BYTES:
            break
    return bytes(head)


async def _rest(text: bytes, pieces: AsyncIterator[bytes | memoryview]) -> bytes:
    parts: list[bytes | memoryview] = [text]
    size = len(text)
    async for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size > STATEMENT_BYTES:
            raise too_large(STATEMENT_BYTES)
    return b"".join(parts)


async def _pieces(request: web.Request, limit: int) -> AsyncIterator[bytes | memoryview]:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    if encoding in ("identity", ""):
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            yield piece
        return
    if not known(encoding):
        raise raised(48, "NOT_IMPLEMENTED", f"Unknown Content-Encoding {encoding}: use lz4, zstd, gzip, deflate or br")
    packed = bytearray()
    async for piece in request.content.iter_any():
        packed += piece
        if len(packed) > limit:
            raise too_large(limit)
    if packed:
        yield await asyncio.to_thread(decompress, packed, encoding, limit)


async def _read_form(request: web.Request, query: bytes, folder: Path, limit: int, spools: list[Spool]) -> _Body:
    body = _Body(sql=query)
    size = 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise raised(36, "BAD_ARGUMENTS", "A form within a form is not read")
        if part.filename is None:
            value = await part.read(decode=True)
            size += len(value)
            if part.name == "query":
                body.sql = bytes(value)
            else:
                body.fields[part.name or ""] = value.decode()
        else:
            spool = Spool(folder)
            spools.append(spool)
            body.tables.append((part.name or "", spool))
            while piece := await part.read_chunk(1 << 16):
                size += len(piece)
                spool.write(piece)
        if size > limit:
            raise too_large(limit)
    return body
