"""Which schema id a message has in a spool, and which as it is sent."""

import json

import pytest

from runwatch.producers.spool.frames import Frames, keep_schema
from runwatch.schemas import avro
from runwatch.schemas.registry import LocalRegistry, RegistryError
from runwatch.schemas.wire import header

SCHEMA = avro.load("agent_event")


class Registry:
    """Ids by what is in a schema, and some that it lacks."""

    def __init__(self, known):
        self.known = known
        self.asked = 0

    def id_of(self, schema, topic):
        self.asked += 1
        assert "t" == topic
        if schema.text not in self.known:
            raise RegistryError("it is not registered")
        return self.known[schema.text]


def test_without_a_registry_messages_stay_as_they_are(tmp_path):
    messages = [(b"k", header(SCHEMA.schema_id) + b"body")]
    assert messages == Frames(LocalRegistry(), SCHEMA, "t")(tmp_path, messages)


def test_a_registrys_id_takes_the_place_of_ours(tmp_path):
    registry = Registry({SCHEMA.text: 7})
    frames = Frames(registry, SCHEMA, "t")
    local = header(SCHEMA.schema_id)
    assert [(b"k", header(7) + b"1"), (b"l", header(7) + b"2")] == frames(
        tmp_path, [(b"k", local + b"1"), (b"l", local + b"2")]
    )
    assert 1 == registry.asked


def test_what_another_version_left_is_sent_with_that_versions_id(tmp_path):
    raw = json.loads(SCHEMA.text)
    older = avro.make_schema("agent_event", {**raw, "fields": raw["fields"][:-1]})
    assert older.schema_id != SCHEMA.schema_id
    keep_schema(tmp_path, older)
    registry = Registry({SCHEMA.text: 7, older.text: 6})
    frames = Frames(registry, SCHEMA, "t")
    messages = [(b"k", header(older.schema_id) + b"1"), (b"k", header(SCHEMA.schema_id) + b"2")]
    assert [(b"k", header(6) + b"1"), (b"k", header(7) + b"2")] == frames(tmp_path, messages)
    frames(tmp_path, messages)
    assert 2 == registry.asked


def test_a_schema_that_nobody_knows_keeps_its_id(tmp_path):
    frames = Frames(Registry({SCHEMA.text: 7}), SCHEMA, "t")
    messages = [(b"k", header(99) + b"1")]
    assert messages == frames(tmp_path, messages)


def test_a_registry_that_is_away_at_first_is_no_way_out_yet():
    with pytest.raises(RegistryError):
        Frames(Registry({}), SCHEMA, "t")
