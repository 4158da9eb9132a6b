"""Malformed messages, by the kind of what is wrong with them; the same for the same seed.

Each is malformed beyond doubt: `decode_body` refuses it by its own topic's record. Kinds say what was done to a good
message, and not which reason its dead letter gives.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from typing import Any

import fastavro

from runwatch.schemas.avro import AvroSchema, load
from runwatch.schemas.container import END_BYTES, zigzag
from runwatch.schemas.wire import HEADER_BYTES, WireError, decode_body, header, split

EVENT: Mapping[str, Any] = {
    "event_id": "018e0000-0000-7000-a000-000000000000", "run_id": "run", "seq": 3, "kind": "tool_result",
    "ts_ms": 1_772_366_400_000, "agent": "fuzzed", "agent_version": "1.0", "model": "gpt-4o", "step_id": "s3",
    "tool": "http.get", "args_sha": "0" * 24, "result_sha": "1" * 24, "duration_ms": 12, "status": "ok", "attempt": 1,
    "http_status": 200, "outcome": 1.0, "input_tokens": 1200, "output_tokens": 80, "cost_usd": 0.01, "labels": "{}",
}  # fmt: skip


def pieces(schema: AvroSchema, record: Mapping[str, Any]) -> dict[str, bytes]:
    """A record's fields as Avro has them, by name; null, or the first symbol, where the record has none."""
    named: dict[str, Any] = {}
    out = {}
    for field in schema.raw["fields"]:
        kind = fastavro.parse_schema(field["type"], named_schemas=named)
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, kind, record.get(field["name"], _empty(field["type"])))
        out[field["name"]] = stream.getvalue()
    return out


def _empty(kind: Any) -> Any:
    if isinstance(kind, list):
        return None if "null" in kind else _empty(kind[0])
    if isinstance(kind, dict):
        if kind["type"] == "enum":
            return kind["symbols"][0]
        return [] if kind["type"] == "array" else _empty(kind["type"])
    return {"string": "x", "bytes": b"", "long": 1, "int": 1, "double": 0.5, "boolean": True}[kind]


def is_malformed(message: bytes | None, schema: AvroSchema) -> bool:
    """Whether a message of a topic whose values are `schema`'s is none."""
    try:
        schema_id, body = split(message)
        if schema_id != schema.schema_id:
            return True
        decode_body(body, schema)
    except WireError:
        return True
    return False


class Maker:
    """Makes them for a topic with values of one schema."""

    def __init__(self, schema: AvroSchema, record: Mapping[str, Any], rng: random.Random) -> None:
        self._schema = schema
        self._rng = rng
        self._pieces = pieces(schema, record)
        self._body = b"".join(self._pieces.values())
        self.whole = header(schema.schema_id) + self._body
        """The good message that they are made of."""
        self._others = [load(name) for name in ("anomaly", "control", "agent_event") if name != schema.name]
        self._odd = list(_odd_fields(schema))
        self.kinds: Mapping[str, Callable[[], bytes | None]] = {
            "no value": lambda: None,
            "empty": lambda: b"",
            "text": self._text,
            "noise": self._noise,
            "noise behind a header": lambda: header(schema.schema_id) + self._noise(),
            "magic": lambda: bytes([rng.randrange(1, 256)]) + self.whole[1:],
            "unknown schema": lambda: header(rng.getrandbits(32)) + self._body,
            "another record": self._another,
            "cut": lambda: self.whole[: rng.randrange(1, len(self.whole))],
            "more": lambda: self.whole + rng.randbytes(rng.randrange(1, 20)),
            "two in one": lambda: self.whole + self._body,
            "two with the mark between": lambda: self.whole + END_BYTES + self._body,
            "cut at the mark": lambda: self.whole[: rng.randrange(HEADER_BYTES, len(self.whole))] + END_BYTES,
            "flipped": self._flipped,
            "a field": self._odd_field,
            "the middle gone": self._without,
            "large": lambda: header(schema.schema_id) + rng.randbytes(8) * rng.randrange(1_000, 6_000),
        }
        self._names = tuple(self.kinds)
        # Large ones are a few hundred times the others' size.
        self._weights = [0.01 if name == "large" else 1.0 for name in self._names]

    def make(self, kind: str | None = None) -> tuple[str, bytes | None]:
        """A kind, at random where none is given, and a message of it."""
        while True:
            name = kind or self._rng.choices(self._names, self._weights)[0]
            message = self.kinds[name]()
            # What is flipped or cut out may still be a record, though another one.
            if is_malformed(message, self._schema):
                return name, message

    def _text(self) -> bytes:
        return "".join(self._rng.choices('{"run_id": 1}\n\tägent\u0000🜁', k=self._rng.randrange(1, 80))).encode()

    def _noise(self) -> bytes:
        return self._rng.randbytes(self._rng.randrange(1, 300))

    def _another(self) -> bytes:
        other = self._rng.choice(self._others)
        return header(other.schema_id) + b"".join(pieces(other, {}).values())

    def _flipped(self) -> bytes:
        out = bytearray(self.whole)
        for _ in range(self._rng.randrange(1, 6)):
            out[self._rng.randrange(len(out))] = self._rng.getrandbits(8)
        return bytes(out)

    def _without(self) -> bytes:
        first = self._rng.randrange(HEADER_BYTES, len(self.whole) - 1)
        return self.whole[:first] + self.whole[self._rng.randrange(first + 1, len(self.whole)) :]

    def _odd_field(self) -> bytes:
        name, odd = self._rng.choice(self._odd)
        parts = {**self._pieces, name: odd}
        return header(self._schema.schema_id) + b"".join(parts.values())


_TOO_LONG = b"\x82" + b"\x80" * 10 + b"\x00"
_ODD: Mapping[str, tuple[bytes, ...]] = {
    "string": (zigzag(-5), zigzag(2**40), zigzag(2**62), zigzag(2) + b"\xff\xfe", zigzag(3) + b"\xed\xa0\x80"),
    "bytes": (zigzag(-5), zigzag(2**40)),
    "long": (_TOO_LONG, b"\xff" * 9 + b"\x7f", b"\xff" * 12 + b"\x7f"),
    "int": (_TOO_LONG, zigzag(2**35), zigzag(-(2**40))),
    "double": (b"\x00",),
    "boolean": (b"\x02",),
    "array": (zigzag(2**50), zigzag(-(2**50)) + zigzag(1)),
    "time": (zigzag(2**62), zigzag(-(2**62)), zigzag(2**48)),
}


def _odd_fields(schema: AvroSchema) -> Any:
    """Each field with each thing that may not stand there."""
    for field in schema.raw["fields"]:
        for odd in _odd_values(field["type"]):
            yield field["name"], odd


def _odd_values(kind: Any) -> list[bytes]:
    if isinstance(kind, list):
        branches = [zigzag(-1) + zigzag(1) + b"t", zigzag(len(kind)), zigzag(-(2**33)), zigzag(-2)]
        inner = [zigzag(at) + odd for at, one in enumerate(kind) for odd in _odd_values(one)]
        return [*branches, *inner]
    if isinstance(kind, dict):
        if kind.get("logicalType") == "timestamp-millis":
            return [*_ODD["long"], *_ODD["time"]]
        if kind["type"] == "enum":
            return [zigzag(-1), zigzag(len(kind["symbols"])), zigzag(2**40)]
        return list(_ODD[kind["type"]]) if kind["type"] in _ODD else _odd_values(kind["type"])
    return list(_ODD.get(kind, ()))
