"""Which schema an id stands for, and which id stands for our schemas.

Without a registry an id is the schema's own fingerprint (`avro.fingerprint_id`), and only our schemas are known: of
this version, of every earlier one, and those of later ones that someone put into a folder. With a registry's URL, ids
are that registry's.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from time import monotonic
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from . import versions
from .avro import NAMES, AvroSchema, load, make_schema
from .errors import RunwatchError
from .wire import WireError

TOPIC_SCHEMAS = {
    "events": "agent_event",
    "windows": "window_part",
    "fleet": "fleet_part",
    "anomalies": "anomaly",
    "alerts": "anomaly",
    "control": "control",
    "health": "health",
    "holds": "hold",
    "snapshots": "snapshot",
}
"""Which schema a topic's values are written with; topics by the last word of their name."""


NOT_FOUND = 404
MOST_UNKNOWN = 10_000
UNKNOWN_S = 30.0
"""For how long an id that the registry lacks is not asked for again: it may be registered yet."""


class RegistryError(RunwatchError):
    """The registry cannot be asked, or lacks a schema of ours; the message says what to do."""


class Registry(Protocol):
    """What readers and writers ask a registry."""

    def id_of(self, schema: AvroSchema, topic: str) -> int:
        """The id to write before a body of `schema` on `topic`."""

    def schema_of(self, schema_id: int) -> AvroSchema:
        """The schema that an id stands for. Raises `WireError` with reason `schema` where none does."""


class LocalRegistry:
    """The schemas of this package, of every version, known by their fingerprints. Nobody is asked."""

    def __init__(self, older: tuple[AvroSchema, ...] = (), folder: Path | None = None) -> None:
        """`older`: further versions whose messages must be read; `folder`: one that may hold yet others, as `.avsc`."""
        self._by_id = {schema.schema_id: schema for schema in (*older, *(load(name) for name in NAMES))}
        self._folder = folder
        self._has_earlier = False
        self._look_after = 0.0

    def id_of(self, schema: AvroSchema, topic: str) -> int:
        return schema.schema_id

    def schema_of(self, schema_id: int) -> AvroSchema:
        known = self._by_id.get(schema_id)
        if known is None:
            self._learn()
            known = self._by_id.get(schema_id)
        if known is None:
            raise WireError("schema", f"schema id {schema_id} is not one of runwatch's")
        return known

    def _learn(self) -> None:
        """Looks for what is not in use: earlier versions once, a folder's now and then, since it may be filled yet."""
        found: list[AvroSchema] = []
        if not self._has_earlier:
            self._has_earlier = True
            found += versions.earlier()
        if self._folder is not None and monotonic() >= self._look_after:
            self._look_after = monotonic() + UNKNOWN_S
            found += versions.given(self._folder)
        for schema in found:
            self._by_id.setdefault(schema.schema_id, schema)


class ConfluentRegistry:
    """A Confluent-compatible registry, asked once for each id and each subject."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        """`timeout_s`: how long one request may take. Raises `RegistryError`."""
        # Needs confluent-kafka's extra `schemaregistry`; imported here, so that agents without a
        # registry need not have it.
        try:
            # What it imports warns, whatever the filters say, of what its authors will change some day.
            with warnings.catch_warnings(record=True):
                from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
        except ImportError as error:
            raise RegistryError(
                f"A schema registry's client needs the package {error.name}, which is not installed: "
                "pip install 'runwatch[registry]', or leave RUNWATCH_REGISTRY unset."
            ) from error
        self._schema = Schema
        self._place = _without_user(url)
        try:
            self._client = SchemaRegistryClient({"url": url, "timeout": timeout_s})
        except ValueError as error:
            raise RegistryError(
                f"{self._place} is no schema registry's address; one looks like http://host:8081."
            ) from error
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, AvroSchema] = {}
        self._unknown: dict[int, float] = {}
        """Id that the registry lacks → until when that is believed."""

    def id_of(self, schema: AvroSchema, topic: str) -> int:
        """The id of `schema` under the topic's subject. Raises `RegistryError`."""
        key = (schema.name, topic)
        if key not in self._ids:
            subject = f"{topic}-value"
            try:
                # Registered by whoever deploys, not by whoever happens to write first.
                found = self._client.lookup_schema(subject, self._schema(schema.text, "AVRO"))
            except Exception as error:  # The client lets its HTTP library's own errors through.
                if _is_missing(error):
                    raise RegistryError(
                        f"The schema {schema.name} is not registered under {subject} at {self._place}: "
                        "register it there before anything writes to the topic."
                    ) from error
                raise self._away(error) from error
            self._ids[key] = int(found.schema_id)
        return self._ids[key]

    def schema_of(self, schema_id: int) -> AvroSchema:
        """Raises `WireError` where the registry has no such Avro record, `RegistryError` where it is away."""
        known = self._schemas.get(schema_id)
        if known is None:
            if self._unknown.get(schema_id, 0.0) > monotonic():
                raise WireError("schema", f"schema id {schema_id} is not in the registry")
            try:
                text = self._client.get_schema(schema_id).schema_str
            except Exception as error:
                if _is_missing(error):
                    # Garbage has any id, and asking for each over and over would hold up what is good.
                    if len(self._unknown) >= MOST_UNKNOWN:
                        self._unknown.clear()
                    self._unknown[schema_id] = monotonic() + UNKNOWN_S
                    raise WireError("schema", f"schema id {schema_id} is not in the registry") from error
                # The registry is away: that is no fault of the message.
                raise self._away(error) from error
            known = _record_schema(schema_id, text)
            self._schemas[schema_id] = known
        return known

    def register(self, topic: str, schema: AvroSchema) -> int:
        """Registers `schema` for the topic's values and returns its id; for deployments, not for agents.

        Raises `RegistryError`, also where the registry finds the schema incompatible with an earlier one.
        """
        try:
            return int(self._client.register_schema(f"{topic}-value", self._schema(schema.text, "AVRO")))
        except Exception as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> RegistryError:
        return RegistryError(
            f"The schema registry at {self._place} did not answer as it should "
            f"({type(error).__name__}: {str(error)[:200]}): is it up, and is RUNWATCH_REGISTRY its address?"
        )


def _is_missing(error: Exception) -> bool:
    return getattr(error, "http_status_code", None) == NOT_FOUND


def _record_schema(schema_id: int, text: str | None) -> AvroSchema:
    try:
        raw = json.loads(text or "")
        if not isinstance(raw, dict) or raw.get("type") != "record":
            raise ValueError("no record")
        return make_schema(str(raw["name"]), raw)
    except Exception as error:  # fastavro's errors about schemas have no common base.
        raise WireError("schema", f"schema id {schema_id} stands for no Avro record") from error


def _without_user(url: str) -> str:
    """A URL as it may be printed: a registry's may hold a user and a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def open_registry(url: str | None) -> Registry:
    """The registry at `url`; where there is no URL the local one, with what the folder `RUNWATCH_SCHEMAS` adds."""
    if url:
        return ConfluentRegistry(url)
    folder = os.environ.get("RUNWATCH_SCHEMAS")
    return LocalRegistry(folder=Path(folder) if folder else None)


def local_subjects(prefix: str = "") -> dict[str, tuple[int, str]]:
    """Subject → (schema id, schema JSON) as the local stack's registry serves them."""
    return {
        f"{prefix}agent.{topic}-value": (load(name).schema_id, load(name).text) for topic, name in TOPIC_SCHEMAS.items()
    }
