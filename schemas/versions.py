"""Schemas besides those in use: earlier versions, which come with the package, and later ones, from a folder.

Agents, processors and sinks are never upgraded in one moment, and may be taken back to what they were. Messages of an
earlier version are in the topics for days. Those of a later one are read by whoever is given its schema.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from .avro import AvroSchema, load, make_schema

log = logging.getLogger(__name__)


def earlier() -> list[AvroSchema]:
    """Every version that was once in use, as it was; the present ones among them."""
    return [_read(entry) for entry in _schemas_in(files(__package__).joinpath("versions"))]


def given(folder: Path) -> list[AvroSchema]:
    """The schemas of a folder's `.avsc` files that are other versions of ours; of the rest the log tells."""
    found = []
    try:
        entries = list(_schemas_in(folder))
    except OSError as error:
        log.warning("The folder of schemas %s cannot be read (%s); RUNWATCH_SCHEMAS names it.", folder, error.strerror)
        return []
    for entry in entries:
        try:
            schema = _read(entry)
            name = schema.name
            if schema.raw["name"] != load(name).raw["name"]:
                raise ValueError(f"it is a {schema.raw['name']}")
        except Exception as error:  # fastavro's errors about schemas have no common base
            log.warning("%s is no version of a schema of ours, and is passed over: %s", entry, error)
        else:
            found.append(schema)
    return found


def _schemas_in(folder: Traversable) -> Iterator[Traversable]:
    return (entry for entry in sorted(folder.iterdir(), key=lambda one: one.name) if entry.name.endswith(".avsc"))


def _read(entry: Traversable) -> AvroSchema:
    """The schema of a file that is named `NAME.avsc` or `NAME.vN.avsc`."""
    return make_schema(entry.name.split(".")[0], json.loads(entry.read_text(encoding="utf-8")))
