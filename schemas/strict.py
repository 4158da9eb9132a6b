"""Whether an Avro body is one to every reader.

fastavro, which reads single messages, is laxer than the specification: it takes symbols and branches by negative
places, numbers of more bits than their type has, and ones written in any number of bytes. ClickHouse refuses those, so
that a message with one would be good here, and would be refused with everything around it there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import fastavro

from .avro import AvroSchema

_SIZES: Mapping[str, int] = {"null": 0, "float": 4, "double": 8}
_BITS: Mapping[str, int] = {"int": 32, "long": 64}
_MOST_BYTES = 10
"""As many as 64 bits take, seven in each."""


def fault(body: bytes, schema: AvroSchema, record: Any = None) -> str | None:
    """What is wrong with a body that fastavro reads, or None.

    `schema` is the one that it was written with, `record` what fastavro reads with it, if that is known.
    """
    out = io.BytesIO()
    try:
        if record is None:
            record = fastavro.schemaless_reader(io.BytesIO(body), schema.parsed, None)
        fastavro.schemaless_writer(out, schema.parsed, record)
    except Exception:  # as in `wire.decode_body`: whatever fastavro's C code meets
        return "a value that its type does not hold"
    # Nearly all bodies are what fastavro itself would have written; of its integers only those of unions are checked.
    if out.getvalue() == body and not _has_plain_ints(schema.text):
        return None
    try:
        _Walk(body).value(schema.raw)
    except _Fault as found:
        return str(found)
    return None


@lru_cache(maxsize=64)
def _has_plain_ints(schema_text: str) -> bool:
    return any("int" in (one["type"], _items(one["type"])) for one in json.loads(schema_text)["fields"])


def _items(avro: Any) -> Any:
    return avro.get("items") if isinstance(avro, dict) else None


class _Fault(Exception):
    """What is wrong, in a few words."""


class _Walk:
    """Goes through a body, value by value."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        self._named: dict[str, Any] = {}

    def value(self, avro: Any) -> None:
        """Passes over one value of that type. Raises `_Fault`."""
        if isinstance(avro, list):
            self.value(_at(avro, self._number(32), "branch"))
            return
        kind = avro["type"] if isinstance(avro, dict) else avro
        if isinstance(kind, dict | list):
            self.value(kind)
        elif kind in _BITS:
            self._number(_BITS[kind])
        elif kind in _SIZES:
            self._skip(_SIZES[kind])
        elif kind == "boolean":
            if self._skip(1) not in (b"\0", b"\1"):
                raise _Fault("a boolean that is neither")
        elif kind in ("bytes", "string"):
            self._skip(self._number(64))
        else:
            self._compound(kind, avro)

    def _compound(self, kind: str, avro: Any) -> None:
        if kind == "record":
            self._know(avro)
            for field in avro["fields"]:
                self.value(field["type"])
        elif kind == "enum":
            self._know(avro)
            _at(avro["symbols"], self._number(32), "symbol")
        elif kind == "fixed":
            self._know(avro)
            self._skip(avro["size"])
        elif kind in ("array", "map"):
            while count := self._number(64):
                if count < 0:
                    # Then its size in bytes follows.
                    self._number(64)
                for _ in range(abs(count)):
                    if kind == "map":
                        self._skip(self._number(64))
                    self.value(avro["items" if kind == "array" else "values"])
        else:
            self.value(self._named[kind.rpartition(".")[2]])

    def _know(self, avro: Mapping[str, Any]) -> None:
        self._named[avro["name"].rpartition(".")[2]] = avro

    def _skip(self, count: int) -> bytes:
        if not 0 <= count <= len(self._body) - self._at:
            raise _Fault("a length that goes beyond the body")
        self._at += count
        return self._body[self._at - count : self._at]

    def _number(self, bits: int) -> int:
        value = 0
        for place in range(_MOST_BYTES):
            (byte,) = self._skip(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
        else:
            raise _Fault(f"a number of more than {_MOST_BYTES} bytes")
        if value >> bits:
            raise _Fault(f"a number of more than {bits} bits")
        return (value >> 1) ^ -(value & 1)


def _at(choices: Sequence[Any], place: int, what: str) -> Any:
    if not 0 <= place < len(choices):
        raise _Fault(f"{what} {place} of {len(choices)}")
    return choices[place]
