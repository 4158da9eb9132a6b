"""The schemas: loaded, documented, fingerprinted, and held to the typed records."""

from __future__ import annotations

import dataclasses
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas import avro
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.avro import AvroSchema, fingerprint_id, make_schema
from runwatch.schemas.controls import Control
from runwatch.schemas.events import AgentEvent

TYPED = {"agent_event": AgentEvent, "anomaly": Anomaly, "control": Control}


def test_the_crc_is_the_one_the_avro_specification_publishes() -> None:
    # share/test/data/schema-tests.txt of Apache Avro: "int" has the fingerprint 7275d51a3f395c8f.
    assert fingerprint_id("int") == 0x7275D51A3F395C8F & 0x7FFFFFFF  # type: ignore[arg-type]


def test_an_id_is_a_positive_31_bit_number_of_its_own(schema: AvroSchema) -> None:
    assert 0 < schema.schema_id < 2**31
    assert schema.schema_id == make_schema("again", schema.raw).schema_id
    assert [schema.schema_id] == [
        avro.load(n).schema_id for n in avro.NAMES if avro.load(n).schema_id == schema.schema_id
    ]


def test_docs_do_not_change_the_id_and_fields_do(schema: AvroSchema) -> None:
    undocumented = {key: value for key, value in schema.raw.items() if key != "doc"}
    longer = {
        **schema.raw,
        "fields": [*schema.raw["fields"], {"name": "more", "type": ["null", "string"], "default": None}],
    }
    assert fingerprint_id(undocumented) == schema.schema_id
    assert fingerprint_id(longer) != schema.schema_id


def test_every_field_and_record_has_a_doc(schema: AvroSchema) -> None:
    assert schema.raw["doc"]
    assert [field["name"] for field in schema.raw["fields"] if not field.get("doc", "").endswith(".")] == []


def test_no_type_that_columnar_readers_refuse(schema: AvroSchema) -> None:
    def refused(kind: Any) -> bool:
        if isinstance(kind, list):
            return any(isinstance(branch, dict) and branch["type"] == "enum" for branch in kind) or any(
                map(refused, kind)
            )
        if isinstance(kind, dict):
            return kind["type"] == "map" or refused(kind["type"])
        return bool(kind == "map")

    assert [field["name"] for field in schema.raw["fields"] if refused(field["type"])] == []


def test_every_enum_has_a_default_for_symbols_newer_than_the_reader(schema: AvroSchema) -> None:
    enums = [f["type"] for f in schema.raw["fields"] if isinstance(f["type"], dict) and f["type"]["type"] == "enum"]
    assert [enum["name"] for enum in enums if enum.get("default") not in enum["symbols"]] == []


@pytest.mark.parametrize("name", TYPED)
def test_typed_records_have_the_schemas_fields(name: str) -> None:
    typed = [field.name for field in dataclasses.fields(TYPED[name])]
    written = list(avro.load(name).field_names)
    # A dataclass has what must be given before what may be left out, so only the order among each is Avro's.
    assert sorted(typed) == sorted(written)
    needed = [f.name for f in dataclasses.fields(TYPED[name]) if f.default is dataclasses.MISSING]
    assert needed == [field for field in written if field in needed]
    assert [field for field in typed if field not in needed] == [field for field in written if field not in needed]


def test_text_is_the_schema_itself(schema: AvroSchema) -> None:
    assert (
        fastavro.schema.fullname(fastavro.parse_schema(__import__("json").loads(schema.text)))
        == f"runwatch.{schema.raw['name']}"
    )


@given(st.text())
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(Exception, match=r".*"):
        make_schema("wrong", {"type": "record", "name": "Wrong", "fields": [{"name": "x", "type": f"no such {text}"}]})
