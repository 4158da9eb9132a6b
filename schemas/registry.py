"""Which schema an id stands for, and which id stands for our schemas.

Without a registry an id is the schema's own fingerprint (`avro.fingerprint_id`), and only our schemas are
known. With a registry's URL, ids are that registry's.
"""

from __future__ import annotations

import json
from typing import Protocol

from .avro import NAMES, AvroSchema, load, make_schema
from .wire import WireError

TOPIC_SCHEMAS = {
    "events": "agent_event",
    "windows": "window_part",
    "anomalies": "anomaly",
    "control": "control",
}
"""Which schema a topic's values are written with; topics by the last word of their name."""


class Registry(Protocol):
    """What readers and writers ask a registry."""

    def id_of(self, schema: AvroSchema, topic: str) -> int:
        """The id to write before a body of `schema` on `topic`."""

    def schema_of(self, schema_id: int) -> AvroSchema:
        """The schema that an id stands for. Raises `WireError` with reason `schema` where none does."""


class LocalRegistry:
    """The schemas of this package, known by their fingerprints. Nobody is asked."""

    def __init__(self, older: tuple[AvroSchema, ...] = ()) -> None:
        """`older`: earlier versions whose messages must still be read."""
        self._by_id = {schema.schema_id: schema for schema in (*older, *(load(name) for name in NAMES))}

    def id_of(self, schema: AvroSchema, topic: str) -> int:
        return schema.schema_id

    def schema_of(self, schema_id: int) -> AvroSchema:
        try:
            return self._by_id[schema_id]
        except KeyError:
            raise WireError("schema", f"schema id {schema_id} is not one of runwatch's") from None


class ConfluentRegistry:
    """A Confluent-compatible registry, asked once for each id and each subject."""

    def __init__(self, url: str) -> None:
        # Needs confluent-kafka's extra `schemaregistry`; imported here, so that agents without a
        # registry need not have it.
        from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

        self._schema = Schema
        self._client = SchemaRegistryClient({"url": url})
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, AvroSchema] = {}

    def id_of(self, schema: AvroSchema, topic: str) -> int:
        key = (schema.name, topic)
        if key not in self._ids:
            # Registered by whoever deploys, not by whoever happens to write first.
            found = self._client.lookup_schema(f"{topic}-value", self._schema(schema.text, "AVRO"))
            self._ids[key] = int(found.schema_id)
        return self._ids[key]

    def schema_of(self, schema_id: int) -> AvroSchema:
        known = self._schemas.get(schema_id)
        if known is None:
            try:
                raw = json.loads(self._client.get_schema(schema_id).schema_str)
                known = make_schema(str(raw.get("name", "record")), raw)
            except Exception as error:
                if getattr(error, "http_status_code", None) == 404 or isinstance(error, ValueError | KeyError):
                    raise WireError("schema", f"schema id {schema_id} is not in the registry") from error
                raise  # The registry is away: that is no fault of the message.
            self._schemas[schema_id] = known
        return known

    def register(self, topic: str, schema: AvroSchema) -> int:
        """Registers `schema` for the topic's values and returns its id; for deployments, not for agents."""
        return int(self._client.register_schema(f"{topic}-value", self._schema(schema.text, "AVRO")))


def open_registry(url: str | None) -> Registry:
    """The registry at `url`, or the local one where there is no URL."""
    return ConfluentRegistry(url) if url else LocalRegistry()


def local_subjects(prefix: str = "") -> dict[str, tuple[int, str]]:
    """Subject → (schema id, schema JSON) as the local stack's registry serves them."""
    return {
        f"{prefix}agent.{topic}-value": (load(name).schema_id, load(name).text) for topic, name in TOPIC_SCHEMAS.items()
    }
