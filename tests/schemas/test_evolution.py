"""Schemas change so that old readers read new messages and new readers old ones.

`schemas/versions/NAME.vN.avsc` is each schema as it was once in use. Agents, processors and sinks are never upgraded
in one moment, so both directions must hold at any time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import given
from hypothesis import strategies as st

from runwatch import schemas
from runwatch.schemas.avro import NAMES, AvroSchema, fingerprint_id, load, make_schema
from runwatch.schemas.events import epoch_ms
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.wire import decode_body, encode, split

FOLDER = Path(schemas.__file__).parent / "versions"
RECORDED = sorted(FOLDER.glob("*.avsc"), key=lambda path: (path.name.split(".")[0], int(path.name.split(".v")[1][:-5])))
Raw = dict[str, Any]


def recorded(name: str) -> list[Raw]:
    """Every recorded version of a schema, oldest first."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in RECORDED if path.name.startswith(f"{name}.v")]


def problems(before: Raw, after: Raw) -> list[str]:
    """What breaks when messages of `before` and of `after` are in one topic."""
    found: list[str] = []
    check = ReaderWriterCompatibilityChecker().get_compatibility
    one, other = avro.schema.parse(json.dumps(before)), avro.schema.parse(json.dumps(after))
    for reader, writer, what in ((other, one, "new reads old"), (one, other, "old reads new")):
        result = check(reader, writer)
        if result.compatibility is not SchemaCompatibilityType.compatible:
            found.extend(f"{what}: {message}" for message in result.messages)
    fields = {field["name"]: field["type"] for field in after["fields"]}
    for field in before["fields"]:
        # Stored columns are made of them; and a logical type, which Avro's own rules let go, is a column's type.
        if field["name"] not in fields:
            found.append(f"{field['name']} is gone")
        elif logical_types(field["type"]) != logical_types(fields[field["name"]]):
            found.append(f"{field['name']} means something else")
    return found


def logical_types(kind: Any) -> list[str]:
    if isinstance(kind, list):
        return [one for branch in kind for one in logical_types(branch)]
    return [kind["logicalType"]] if isinstance(kind, dict) and "logicalType" in kind else []


def next_version(raw: Raw) -> Raw:
    """A schema as the next release may have it: a field more, and a symbol more in each enum."""
    after = copy.deepcopy(raw)
    for field in after["fields"]:
        if isinstance(field["type"], dict) and field["type"]["type"] == "enum":
            field["type"]["symbols"].append("newer")
    after["fields"].insert(3, {"name": "region", "type": ["null", "string"], "default": None, "doc": "Where."})
    after["fields"].append({"name": "weight", "type": "long", "default": 1, "doc": "How heavy."})
    return after


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_in_use_is_the_last_recorded_version(name: str) -> None:
    assert recorded(name), f"{name}.avsc has no recorded version"
    assert fingerprint_id(recorded(name)[-1]) == load(name).schema_id, (
        f"{name}.avsc has changed: record it as the next version in {FOLDER.name}/, with golden messages"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_in_use_fits_every_recorded_version(name: str) -> None:
    for version in recorded(name):
        assert [] == problems(version, load(name).raw)


def test_the_next_version_fits(schema: AvroSchema) -> None:
    assert [] == problems(schema.raw, next_version(schema.raw))


def _drop(raw: Raw, name: str) -> None:
    raw["fields"] = [field for field in raw["fields"] if field["name"] != name]


def _set(raw: Raw, field_name: str, **changes: Any) -> None:
    next(field for field in raw["fields"] if field["name"] == field_name).update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: _drop(raw, "run_id"),
        lambda raw: _drop(raw, "tool"),
        lambda raw: _set(raw, "tool", name="tool_name"),
        lambda raw: _set(raw, "seq", type="int"),
        lambda raw: _set(raw, "seq", type="double"),
        lambda raw: _set(raw, "agent", type=["null", "string"]),
        lambda raw: _set(raw, "tool", type="string", default=""),
        lambda raw: _set(raw, "ts_ms", type="long"),
        lambda raw: _set(raw, "ts_ms", type={"type": "long", "logicalType": "timestamp-micros"}),
        lambda raw: raw["fields"].append({"name": "region", "type": "string"}),
        lambda raw: _set(raw, "kind", type={"type": "enum", "name": "Kind", "symbols": ["stop"]}),
        lambda raw: raw.update(name="Event"),
    ],
    ids=[
        "a needed field dropped", "an optional field dropped", "renamed", "narrower", "a float", "made optional",
        "made needed", "no longer a time", "other units", "a new field without default", "symbols dropped",
        "the record renamed",
    ],
)  # fmt: skip
def test_an_incompatible_change_is_noticed(change: Callable[[Raw], None]) -> None:
    before = load("agent_event").raw
    after = copy.deepcopy(before)
    change(after)
    assert problems(before, after)


def numbers(record: dict[str, Any]) -> dict[str, Any]:
    return {name: epoch_ms(value) for name, value in record.items()}


@given(data=st.data())
def test_new_reads_old(schema: AvroSchema, record_strategy: Any, data: st.DataObject) -> None:
    newer = make_schema(schema.name, next_version(schema.raw))
    record = data.draw(record_strategy(schema))
    registry = LocalRegistry((newer,))
    schema_id, body = split(encode(record, schema, schema.schema_id))
    assert {**record, "region": None, "weight": 1} == numbers(decode_body(body, registry.schema_of(schema_id), newer))


@given(data=st.data())
def test_old_reads_new(schema: AvroSchema, record_strategy: Any, data: st.DataObject) -> None:
    newer = make_schema(schema.name, next_version(schema.raw))
    record = data.draw(record_strategy(newer))
    registry = LocalRegistry((newer,))
    schema_id, body = split(encode(record, newer, newer.schema_id))
    defaults = {
        field["name"]: field["type"]["default"]
        for field in schema.raw["fields"]
        if isinstance(field["type"], dict) and field["type"]["type"] == "enum"
    }
    expected = {name: defaults[name] if record[name] == "newer" else record[name] for name in schema.field_names}
    assert expected == numbers(decode_body(body, registry.schema_of(schema_id), schema))
