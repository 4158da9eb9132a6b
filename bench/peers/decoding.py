"""The event as a peer decodes it: one message at a time, with fastavro."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
from fastavro import schemaless_reader

from ...schemas.avro import load
from ...schemas.wire import HEADER_BYTES


def _plain() -> Any:
    """The event's schema with event time as a number: fastavro would make a `datetime` of each."""
    raw = json.loads(load("agent_event").text)
    for field in raw["fields"]:
        if isinstance(field["type"], dict) and "logicalType" in field["type"]:
            field["type"] = field["type"]["type"]
    return raw


_RAW = _plain()
FIELDS = tuple(field["name"] for field in _RAW["fields"])
_WRITER = fastavro.parse_schema(_RAW)
# Takes two thirds of the time of all 27 fields: what is skipped becomes no Python object.
_COUNTED = fastavro.parse_schema(
    {**_RAW, "fields": [field for field in _RAW["fields"] if field["name"] in ("ts_ms", "agent")]}
)


def decode(message: bytes) -> dict[str, Any]:
    """All of the event in a framed message."""
    event: dict[str, Any] = schemaless_reader(io.BytesIO(message[HEADER_BYTES:]), _WRITER, None)
    return event


def decode_counted(message: bytes) -> dict[str, Any]:
    """Only what a count needs: `ts_ms` and `agent`."""
    event: dict[str, Any] = schemaless_reader(io.BytesIO(message[HEADER_BYTES:]), _WRITER, _COUNTED)
    return event
