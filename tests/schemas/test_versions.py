"""Messages of other versions are read: of earlier ones always, of later ones where someone gave their schema."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from runwatch import schemas
from runwatch.schemas import registry, versions
from runwatch.schemas.avro import NAMES, AvroSchema, load, make_schema
from runwatch.schemas.registry import LocalRegistry, open_registry
from runwatch.schemas.wire import WireError

RECORDED = Path(schemas.__file__).parent / "versions"


def another(name: str = "agent_event", field: str = "region") -> AvroSchema:
    """A version that has one field more."""
    raw = json.loads(load(name).text)
    raw["fields"].append({"name": field, "type": ["null", "string"], "default": None})
    return make_schema(name, raw)


def test_every_recorded_version_comes_with_the_package() -> None:
    ids = {schema.schema_id for schema in versions.earlier()}
    assert len(list(RECORDED.glob("*.avsc"))) == len(ids)
    assert {load(name).schema_id for name in NAMES} <= ids


def test_an_earlier_version_is_known_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    older = another()
    monkeypatch.setattr(versions, "earlier", lambda: [older])
    assert older.text == LocalRegistry().schema_of(older.schema_id).text


def test_a_later_version_is_known_once_its_schema_is_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(registry, "monotonic", lambda: now[0])
    monkeypatch.setenv("RUNWATCH_SCHEMAS", str(tmp_path))
    later, known = another(), open_registry(None)
    with pytest.raises(WireError, match=f"schema id {later.schema_id} is not one of runwatch's"):
        known.schema_of(later.schema_id)
    (tmp_path / "agent_event.avsc").write_text(later.text, encoding="utf-8")
    now[0] += registry.UNKNOWN_S
    assert "region" in known.schema_of(later.schema_id).field_names
    # What this version writes stays what it is.
    assert load("agent_event").schema_id == known.id_of(load("agent_event"), "agent.events")


def test_what_is_no_schema_of_ours_is_passed_over_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    good = another("control")
    (tmp_path / "control.v7.avsc").write_text(good.text, encoding="utf-8")
    (tmp_path / "agent_event.avsc").write_text(good.text, encoding="utf-8")
    (tmp_path / "colour.avsc").write_text(good.text, encoding="utf-8")
    (tmp_path / "health.avsc").write_text("{", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no schema", encoding="utf-8")
    assert [good.schema_id] == [one.schema_id for one in versions.given(tmp_path)]
    said = [record.getMessage() for record in caplog.records]
    assert ["agent_event.avsc", "colour.avsc", "health.avsc"] == [Path(line.split(" is no")[0]).name for line in said]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert [] == versions.given(tmp_path / "nowhere")
    assert "RUNWATCH_SCHEMAS names it" in caplog.text


def test_commands_are_written_as_every_agent_that_was_ever_released_reads_them() -> None:
    # An agent may be older than who stops it, and nobody hands it a schema. So commands stay what they are: what is to
    # be added to them goes into Kafka's headers.
    first = json.loads((RECORDED / "control.v1.avsc").read_text(encoding="utf-8"))
    assert make_schema("control", first).schema_id == load("control").schema_id
