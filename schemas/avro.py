"""The Avro schemas themselves: loaded once, parsed once, and known by their fingerprints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

NAMES = ("agent_event", "window_part", "fleet_part", "anomaly", "control", "health", "hold", "snapshot")
"""The schemas by file name; `NAME.avsc` beside this file."""


@dataclass(frozen=True)
class AvroSchema:
    """One schema in the forms that readers and writers need."""

    name: str
    """File name without its ending, such as `agent_event`."""
    text: str = field(repr=False)
    """Compact JSON, docs and all: what a registry hands out."""
    raw: dict[str, Any] = field(repr=False)
    """The JSON as Python values; not to be changed."""
    parsed: Any = field(repr=False)
    """What fastavro reads and writes with."""
    schema_id: int
    """The id that stands for it where there is no registry."""

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(field["name"] for field in self.raw["fields"])


def make_schema(name: str, raw: dict[str, Any]) -> AvroSchema:
    """An `AvroSchema` from its JSON. Raises fastavro's `SchemaParseException` where it is not Avro."""
    text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False)
    # A copy: fastavro marks what it has parsed, and parses what has no mark anew with every message.
    parsed = fastavro.parse_schema(json.loads(text))
    return AvroSchema(name, text, raw, parsed, fingerprint_id(raw))


def fingerprint_id(raw: dict[str, Any]) -> int:
    """Low 31 bits of the CRC-64-AVRO fingerprint of the schema's parsing canonical form.

    Every process computes the same id with nobody to ask. 31 bits, because a registry's ids are positive
    32-bit integers. The fingerprint is defined in the Avro specification, "Schema Fingerprints"; its text
    form there is the eight bytes in little-endian order.
    """
    digest = fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO")
    return int.from_bytes(bytes.fromhex(digest), "little") & 0x7FFFFFFF


@cache
def load(name: str) -> AvroSchema:
    """The current schema of that file name, one of `NAMES`."""
    text = files(__package__).joinpath(f"{name}.avsc").read_text(encoding="utf-8")
    return make_schema(name, json.loads(text))
