"""What is fuzzed without servers: each takes any bytes, and fails where they get further than they may.

An error that is meant for people or for dead letters is no failure; whatever else comes out is one. Nearly all of them
compare, too: two readers of the same bytes must agree. `test_targets.py` (hypothesis) and `guided.py` (atheris) use it.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from runwatch.control.read import BadControl, read_control
from runwatch.control.scopes import ScopeError, parse
from runwatch.control.signers import SignersError, parse_signers
from runwatch.control.signing import BadSignature, Envelope
from runwatch.processors.decode import FrameDecoder
from runwatch.processors.frames import Frame
from runwatch.producers.encoding import EventEncoder
from runwatch.producers.reading import ReadingError
from runwatch.producers.recorded import FORMATS, iter_events
from runwatch.schemas.avro import NAMES, load
from runwatch.schemas.json_form import NotAnEvent, RunOrder, parse_line
from runwatch.schemas.registry import LocalRegistry, local_subjects
from runwatch.schemas.wire import WireError, decode_body, encode, header, split
from runwatch.sinks import deadletter
from runwatch.sinks.batch import Block
from runwatch.sinks.insert import sift
from runwatch.stack.clickhouse.access import Account, Accounts, check_origin
from runwatch.stack.clickhouse.compression import decompress, negotiate
from runwatch.stack.clickhouse.errors import ClickHouseError
from runwatch.stack.clickhouse.statement import StatementError, parse_insert, shape_of
from runwatch.stack.registry import Catalog, RegistryProblem

from .malformed import EVENT, pieces

EVENTS = load("agent_event")
GOOD = header(EVENTS.schema_id) + b"".join(pieces(EVENTS, EVENT).values())
LOCAL = LocalRegistry()
MOST_S = 2.0
"""CPU time that nothing of a few kilobytes may take."""


class FakeMessage:
    """A message as a consumer hands it out."""

    def __init__(self, value: bytes | None, *, key: bytes | None = b"key", at: int = 0) -> None:
        self._value, self._key, self._at = value, key, at
        self.header_list: list[tuple[str, bytes | None]] | None = None

    def topic(self) -> str:
        return "agent.events"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._at

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.header_list

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_LOG_APPEND_TIME, 1_772_366_400_000

    def __len__(self) -> int:
        return len(self._value or b"")


def cut(data: bytes, marks: int = 8) -> list[bytes]:
    """Bytes in parts: each part's first byte says how long it is, the last part is what is left."""
    parts = []
    while data and len(parts) < marks:
        size = data[0]
        parts.append(data[1 : 1 + size])
        data = data[1 + size :]
    return [*parts, data] if data else parts


def refused(message: bytes | None) -> bool:
    """Whether an event's message is none, by the strictest reader."""
    try:
        schema_id, body = split(message)
        writer = LOCAL.schema_of(schema_id)
        if writer.raw["name"] != EVENTS.raw["name"]:
            return True
        decode_body(body, writer, EVENTS)
    except WireError:
        return True
    return False


def messages(data: bytes) -> list[bytes]:
    """Parts of the data as messages: as they are, as the body of one, or in the midst of a good one."""
    out = []
    for part in cut(data):
        manner, rest = (part[0] % 4, part[1:]) if part else (0, b"")
        if manner == 1:
            out.append(header(EVENTS.schema_id) + rest)
        elif manner == 2 and rest:
            at = 5 + rest[0] % (len(GOOD) - 5)
            out.append(GOOD[:at] + rest[1:] + GOOD[at + len(rest) - 1 :])
        elif manner == 3 and rest:
            out.append(GOOD[: rest[0] % len(GOOD)] + rest[1:])
        else:
            out.append(rest)
    return out


def wire(data: bytes) -> None:
    """Framing and single bodies: what is read can be written, and is the same when it is read again."""
    with suppress(WireError):
        split(data)
    schema = load(NAMES[(data[0] if data else 0) % len(NAMES)])
    try:
        record = decode_body(data[1:], schema)
    except WireError:
        return
    again = decode_body(split(encode(record, schema, schema.schema_id))[1], schema)
    assert repr(record) == repr(again)


def frames(data: bytes) -> None:
    """The worker reads each message of a frame that can be read by itself, whatever stands beside it.

    Those that cannot it finds bad, but for a few: Polars is laxer, and reads most frames at once.
    """
    values: list[bytes | None] = [GOOD, *messages(data), None, GOOD]
    wrong = {at for at, value in enumerate(values) if refused(value)}
    for frame in (values, values[:-2]):
        found = _decoder().decode(Frame("agent.events", 0, frame, range(len(frame)), 0))
        bad = {one.at for one in found.bad}
        assert bad <= wrong
        assert [at for at in range(len(frame)) if at not in bad] == found.columns["_at"].to_list()


@cache
def _decoder() -> FrameDecoder:
    return FrameDecoder("agent_event", LOCAL)


def blocks(data: bytes) -> None:
    """What the sink keeps of a block that ClickHouse refused is what can be read by itself."""
    whole = [GOOD, *(header(EVENTS.schema_id) + one[5:] for one in messages(data) if len(one) >= 5), GOOD]
    block = Block(EVENTS, [one[5:] for one in whole], [FakeMessage(one, at=at) for at, one in enumerate(whole)])
    good, bad = sift(block)
    wrong = [at for at, one in enumerate(whole) if refused(one)]
    assert wrong == [one.message.offset() for one in bad]
    assert len(whole) - len(wrong) == len(good.bodies) == len(good.messages)


def letters(data: bytes) -> None:
    """A dead letter's record holds its bytes, whatever its headers say."""
    parts = [*cut(data, 6), b"", b"", b"", b"", b"", b""]
    message = FakeMessage(parts[0], key=parts[1])
    message.header_list = list(zip(("topic", "partition", "offset", "reason", "detail"), parts[2:], strict=False))
    stream = io.BytesIO(deadletter.body(message))  # type: ignore[arg-type]
    record: Any = fastavro.schemaless_reader(stream, deadletter.SCHEMA.parsed, None)
    assert (parts[0], parts[1], b"") == (record["value"], record["key"], stream.read())


def json_events(data: bytes) -> None:
    """A line is an event or is refused in a sentence; an event can be sent, and arrives as it was."""
    for line in data.split(b"\n")[:20]:
        try:
            event = parse_line(line, RunOrder())
        except NotAnEvent as error:
            assert str(error).encode()
            continue
        _, body = split(_encoder()(event))
        assert event.run_id == decode_body(body, EVENTS)["run_id"]


@cache
def _encoder() -> EventEncoder:
    return EventEncoder(EVENTS, EVENTS.schema_id)


def files(data: bytes) -> None:
    """A file of either form, plain or compressed: events and rejects, or one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.json"
        for form in FORMATS:
            for content in (data, gzip.compress(data, 1), gzip.compress(data, 1)[:-5]):
                path.write_bytes(content)
                try:
                    for event in iter_events(path, form, on_reject=lambda _: None):
                        _encoder()(event)
                except ReadingError as error:
                    assert str(error).encode()


def controls(data: bytes) -> None:
    """A message of the control topic is a command that fits together, or none."""
    key, *rest = [*cut(data, 2), b"", b""]
    schema = load("control")
    for value in (None, rest[0], header(schema.schema_id) + rest[0]):
        try:
            scope, control = read_control(key, value, LOCAL.schema_of, 1_772_366_400_000)
        except BadControl:
            continue
        assert control is None or (scope == control.scope and control.control_id and control.by and control.why)
        parse(scope)
    with suppress(ScopeError):
        parse(data.decode("utf-8", "replace"))


def signatures(data: bytes) -> None:
    """A signature's header, and the file of those who may sign."""
    with suppress(BadSignature):
        assert data == Envelope.read(data).to_bytes()
    with suppress(SignersError):
        parse_signers(data.decode("utf-8", "replace"), "signers")


def statements(data: bytes) -> None:
    """Where a statement ends and its data begins; in no more time than it is long."""
    began = time.process_time()
    try:
        insert = parse_insert(data)
    except StatementError:
        insert = None
    if insert is not None:
        assert 0 <= insert.settings_at <= len(insert.head) <= insert.data_at <= len(data)
        assert b"INFILE" in insert.from_file("/x") or b"file(" in insert.from_file("/x")
    shape_of(data)
    assert time.process_time() - began < MOST_S


def unpacking(data: bytes) -> None:
    """A compressed body is no more than the limit once it is unpacked."""
    for encoding in ("lz4", "zstd", "gzip", "deflate", "br"):
        try:
            assert len(decompress(data, encoding, 1 << 21)) <= 1 << 21
        except ClickHouseError as error:
            assert 400 <= error.status < 500
    negotiate(data.decode("latin-1"))


def registries(data: bytes) -> None:
    """Any path and any body of the local registry has an answer."""
    path, _, body = data.partition(b"\n")
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        value = {"schema": body.decode("utf-8", "replace")}
    for ask in (lambda: _catalog().get(path.decode("latin-1")), lambda: _catalog().post(path.decode("latin-1"), value)):
        try:
            json.dumps(ask())
        except RegistryProblem as problem:
            assert 400 <= problem.status < 500


@cache
def _catalog() -> Catalog:
    return Catalog(local_subjects())


def sign_ins(data: bytes) -> None:
    """Who asks ClickHouse's front is one of its users, or is refused."""
    accounts = Accounts(Account("default", "secret"), Account("reader", "other"))
    text = data.decode("utf-8", "surrogateescape")
    first, _, second = text.partition(":")
    for headers, params in (
        ({"Authorization": f"Basic {text}"}, {}),
        ({"X-ClickHouse-User": first, "X-ClickHouse-Key": second}, {}),
        ({}, {"user": first, "password": second}),
    ):
        try:
            assert accounts.check(headers, params) == (text == "reader:other")
            assert text in ("default:secret", "reader:other") or "Authorization" in headers
        except ClickHouseError as error:
            assert error.message.encode("utf-8", "strict")
            assert 400 <= error.status < 500
    try:
        check_origin({"Sec-Fetch-Site": text})
    except ClickHouseError:
        assert text in ("cross-site", "same-site")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        wire, frames, blocks, letters, json_events, files, controls, signatures, statements, unpacking, registries,
        sign_ins,
    )
}  # fmt: skip

SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "wire": (b"\x00" + GOOD[5:], GOOD),
    "frames": (bytes([len(GOOD[5:41]) + 2, 2, 9]) + GOOD[5:41], b"\x05\x01abcd\x03\x02\x40x"),
    "blocks": (b"\x05\x01abcd\x04\x03\x40\x02\x00",),
    "json_events": (
        b'{"run_id": "r", "kind": "tool_result", "ts_ms": 1, "agent": "a", "usage": {"cost_usd": 1e308}, "args": [1]}',
        b'{"run_id": "r", "kind": "stop", "ts_ms": "2026-01-01T00:00:00Z", "agent": "a", "labels": {"a": NaN}}',
    ),
    "files": (b'[{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}]}]',),
    "controls": (b"\x05fleet\x04\x02a\x02b", b"version:a@b", b"dry:dry:run:x"),
    "statements": (
        b"INSERT INTO t (a) SETTINGS x = 1 FORMAT Avro\nObj\x01",
        b"SELECT 1 /* /* ' \" ` $a$ $$ -- FORMAT JSON",
        b"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV\n1",
    ),
    "registries": (b"/subjects/agent.events-value/versions/latest\n{}", b"//[/schemas\n[]", b"/schemas/ids/1\n1"),
    "sign_ins": (b"default:secret", b"ZGVmYXVsdDpzZWNyZXQ=", b"\xff\xfe:x"),
}
"""What a guided search begins with."""
