"""Confluent framing: byte 0, the schema's id as big-endian uint32, the Avro body."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import fastavro

from .avro import AvroSchema
from .strict import fault

MAGIC = 0
HEADER = struct.Struct(">BI")
HEADER_BYTES = HEADER.size


class WireError(ValueError):
    """A message that is not what it says it is; `reason` is a word that can be counted by."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def header(schema_id: int) -> bytes:
    """The five bytes before every body written with that schema."""
    return HEADER.pack(MAGIC, schema_id)


def split(message: bytes | None) -> tuple[int, bytes]:
    """The schema id and the Avro body of a message. Raises `WireError`."""
    if not message:
        raise WireError("empty", "the message has no value")
    if len(message) < HEADER_BYTES:
        raise WireError("short", f"the message has {len(message)} bytes; its header alone needs {HEADER_BYTES}")
    magic, schema_id = HEADER.unpack_from(message)
    if magic != MAGIC:
        raise WireError("magic", f"the message begins with byte {magic}, not {MAGIC}: it is not Confluent-framed Avro")
    return schema_id, message[HEADER_BYTES:]


def encode(record: Mapping[str, Any], schema: AvroSchema, schema_id: int) -> bytes:
    """A framed message. Raises `ValueError` or `TypeError` where the record does not fit the schema."""
    out = io.BytesIO()
    out.write(header(schema_id))
    try:
        fastavro.schemaless_writer(out, schema.parsed, record)
    except OverflowError as error:
        raise ValueError(f"a number of the {schema.name} has more than 64 bits") from error
    return out.getvalue()


def decode_body(body: bytes, writer: AvroSchema, reader: AvroSchema | None = None) -> dict[str, Any]:
    """The record in an Avro body, seen through the reader's schema. Raises `WireError`.

    Bytes left over are an error too: a body cut short can swallow what follows and still parse. So is what fastavro
    reads and other readers refuse, such as an enum's symbol counted from the end: what is good here is good everywhere.
    """
    stream = io.BytesIO(body)
    other = None if reader is None or reader is writer else reader.parsed
    try:
        record = fastavro.schemaless_reader(stream, writer.parsed, other)
    except Exception as error:  # fastavro raises whatever its C code meets: EOFError, IndexError, UnicodeError …
        raise WireError("avro", f"the body does not parse as {writer.name}: {type(error).__name__}") from error
    if stream.tell() != len(body):
        raise WireError("avro", f"{len(body) - stream.tell()} bytes are left over after the {writer.name}")
    if not isinstance(record, dict):
        raise WireError("avro", f"the body is no {writer.name} record")
    if wrong := fault(body, writer, record if other is None else None):
        raise WireError("avro", f"the body does not parse as {writer.name}: {wrong}")
    return record
