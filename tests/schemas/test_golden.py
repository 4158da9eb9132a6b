"""Messages that were written once and must be written and read the same for ever.

`golden/NAME.vN.json` holds records, `golden/NAME.vN.hex` the framed message of each, a line each. These files
are never changed: a new version of a schema gets new ones beside them. A field of bytes is a text of the characters
0 to 255 there, as in Avro's own JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runwatch import schemas
from runwatch.schemas import avro
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.avro import AvroSchema
from runwatch.schemas.controls import Control
from runwatch.schemas.events import AgentEvent, epoch_ms
from runwatch.schemas.snapshots import Snapshot
from runwatch.schemas.wire import decode_body, encode, split

HERE = Path(__file__).parent
VERSIONS = sorted(path.stem for path in (HERE / "golden").glob("*.json"))


def golden(version: str) -> list[tuple[dict[str, Any], bytes]]:
    """Records and their messages, of a version such as `agent_event.v1`."""
    folder = HERE / "golden"
    records = json.loads((folder / f"{version}.json").read_text(encoding="utf-8"))
    of_bytes = [field["name"] for field in schema_of(version).raw["fields"] if field["type"] == "bytes"]
    records = [record | {name: record[name].encode("latin-1") for name in of_bytes} for record in records]
    lines = (folder / f"{version}.hex").read_text(encoding="ascii").split()
    return list(zip(records, map(bytes.fromhex, lines), strict=True))


def schema_of(version: str) -> AvroSchema:
    """The schema as it was in that version."""
    text = (Path(schemas.__file__).parent / "versions" / f"{version}.avsc").read_text(encoding="utf-8")
    return avro.make_schema(version.partition(".")[0], json.loads(text))


def test_every_schema_has_its_golden_messages() -> None:
    assert set(avro.NAMES) == {version.partition(".")[0] for version in VERSIONS}
    assert all(len(golden(version)) >= 2 for version in VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_versions_messages_are_written_as_ever(version: str) -> None:
    schema = schema_of(version)
    for record, message in golden(version):
        assert message.hex() == encode(record, schema, schema.schema_id).hex()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_versions_messages_are_read_by_todays_schema(version: str) -> None:
    written, today = schema_of(version), avro.load(version.partition(".")[0])
    for record, message in golden(version):
        schema_id, body = split(message)
        assert written.schema_id == schema_id
        read = {name: epoch_ms(value) for name, value in decode_body(body, written, today).items()}
        assert set(today.field_names) == set(read)
        assert record == {name: read[name] for name in record}


def test_typed_records_write_the_golden_bytes() -> None:
    schema = avro.load("agent_event")
    for record, message in golden("agent_event.v1"):
        event = AgentEvent.from_record(record)
        assert message.hex() == encode(event.to_record(), schema, schema.schema_id).hex()
        assert event == AgentEvent.from_record(decode_body(split(message)[1], schema))
    schema = avro.load("anomaly")
    for record, message in golden("anomaly.v1"):
        anomaly = Anomaly(**{**record, "seqs": tuple(record["seqs"])})
        assert message.hex() == encode(anomaly.to_record(), schema, schema.schema_id).hex()
    schema = avro.load("control")
    for record, message in golden("control.v1"):
        assert message.hex() == encode(Control(**record).to_record(), schema, schema.schema_id).hex()
    schema = avro.load("snapshot")
    for record, message in golden("snapshot.v1"):
        kinds, counts = record["redactions"], record["redaction_counts"]
        fields = {name: value for name, value in record.items() if not name.startswith("redaction")}
        snapshot = Snapshot(**fields, redacted=dict(zip(kinds, counts, strict=True)))
        assert message.hex() == encode(snapshot.to_record(), schema, schema.schema_id).hex()
