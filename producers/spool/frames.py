"""Schema ids: in a spool a schema's fingerprint, which nobody need be asked for; as it is sent, the registry's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...schemas.avro import AvroSchema, make_schema
from ...schemas.registry import Registry
from ...schemas.wire import HEADER_BYTES, header
from ..transport import Message


class Frames:
    """Messages as they are read from a spool, made into messages as they are sent."""

    def __init__(self, registry: Registry, schema: AvroSchema, topic: str) -> None:
        """Asks for the id of `schema`, this process's own. Raises what the registry raises."""
        self._registry = registry
        self._topic = topic
        self._name = schema.name
        self._ids = {header(schema.schema_id): header(registry.id_of(schema, topic))}

    def __call__(self, folder: Path, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages of the spool in that folder."""
        ids = self._ids
        for _, value in messages:
            if value[:HEADER_BYTES] not in ids:
                self._look_up(folder, value[:HEADER_BYTES])
        if all(one == other for one, other in ids.items()):
            return messages
        return [(key, ids[value[:HEADER_BYTES]] + value[HEADER_BYTES:]) for key, value in messages]

    def _look_up(self, folder: Path, local: bytes) -> None:
        """Of a schema that an older or a newer version of this package wrote. The id stays where nothing is known."""
        found = local
        with suppress(Exception):  # whatever is wrong with the file or the registry: sinks keep what they cannot read
            raw = json.loads(schema_path(folder, local).read_text())
            # By a name of its own, since registries' answers are remembered by name.
            schema = make_schema(f"{self._name} {local.hex()}", raw)
            found = header(self._registry.id_of(schema, self._topic))
        self._ids[local] = found


def schema_path(folder: Path, local: bytes) -> Path:
    """Where a spool keeps the schema that its messages begin with `local` for."""
    return folder / f"{local.hex()}.avsc"


def keep_schema(folder: Path, schema: AvroSchema) -> None:
    """Puts a schema beside the messages, for a later process of another version. Raises `OSError`."""
    schema_path(folder, header(schema.schema_id)).write_text(schema.text, encoding="utf-8")
