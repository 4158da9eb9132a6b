"""Many messages as one Avro container file, without decoding any.

The Avro bodies of messages that share a schema, joined end to end, are an Avro data block: with a container
header in front, native readers (Polars, ClickHouse's `FORMAT Avro`) decode the whole batch at once. A field
added to the schema is bytes added to each body: `lead` fields stand before the record's own, and a sentinel
`_end` after them. The sentinel is what makes joining safe, since a body cut short can swallow the head of
its neighbour and still parse: whoever reads the block compares `_end` with `SENTINEL`. With as many
sentinels in the block as bodies (`pack` sees to that) and each record ending in one, the nth record can
only be the nth body, whole: a broken body never changes what its neighbours say.

The container format is in the Avro specification, "Object Container Files".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from .avro import AvroSchema
from .wire import WireError

SENTINEL = 0x5B1D_7C3A_96E4_2F08
"""Value of the field `_end` behind every record. Ten bytes on the wire, none of which is common in text."""

_SYNC = bytes.fromhex("72756e77617463682d6672616d650001")
"""The marker after a block. A container of one block, read whole, needs no random one."""


def zigzag(value: int) -> bytes:
    """`value` as Avro writes an int or long: zigzag, then seven bits a byte, lowest first."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def text_bytes(text: str) -> bytes:
    """`text` as Avro writes a string."""
    data = text.encode()
    return zigzag(len(data)) + data


END_BYTES = zigzag(SENTINEL)


WIRE_FIELDS = (("_magic", "int"), ("_schema", "float"))
"""The wire header's five bytes are Avro values as they are: the zero byte an int, the schema id's four bytes a float,
whose bits tell the id. So messages need not be cut before they are packed."""


@lru_cache(maxsize=64)
def _header(schema_text: str, lead: tuple[tuple[str, str], ...]) -> bytes:
    """The container's head for that schema with the `lead` fields (name, type) before it and the sentinel after it."""
    raw: dict[str, Any] = json.loads(schema_text)
    raw["fields"] = [
        *({"name": name, "type": kind} for name, kind in lead),
        *raw["fields"],
        {"name": "_end", "type": "long"},
    ]
    text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False).encode()
    meta = b"".join(
        zigzag(len(key)) + key + zigzag(len(value)) + value
        for key, value in ((b"avro.schema", text), (b"avro.codec", b"null"))
    )
    return b"Obj\x01" + zigzag(2) + meta + zigzag(0) + _SYNC


def pack(
    bodies: Sequence[bytes],
    schema: AvroSchema,
    lead: tuple[str | tuple[str, str], ...] = (),
    *,
    whole: bool = False,
) -> bytes:
    """A container of these records.

    `bodies` are Avro bodies without the wire header, each already preceded by its `lead` values (as
    `zigzag` bytes) where there are any: longs, or of the type that stands beside the name. Raises `WireError`
    where a body itself holds the sentinel: two records in one body would pass for two bodies, and push the
    block's last one out unseen. Such bodies are to be decoded one by one. `whole`: each is known to be one record and
    nothing else, and may hold the sentinel.
    """
    lead_fields = tuple((one, "long") if isinstance(one, str) else one for one in lead)
    return _packed(bodies, _header(schema.text, lead_fields), whole=whole)


def pack_framed(messages: Sequence[bytes], schema: AvroSchema) -> bytes:
    """A container of these messages, wire header and all, whose records have `WIRE_FIELDS` before their own.

    Whoever reads it compares them with the header that the schema's messages have. Raises as `pack` does, and
    `TypeError` where a message has no value.
    """
    return _packed(messages, _header(schema.text, WIRE_FIELDS))


def _packed(bodies: Sequence[bytes], head: bytes, *, whole: bool = False) -> bytes:
    data = END_BYTES.join(bodies) + END_BYTES if bodies else b""
    if not whole and data.count(END_BYTES) != len(bodies):
        raise WireError("avro", "a body holds the bytes that mark a record's end")
    return b"".join((head, zigzag(len(bodies)), zigzag(len(data)), data, _SYNC))
