import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.producers.encoding import EventEncoder
from runwatch.schemas import avro, wire
from runwatch.schemas.events import AgentEvent

SCHEMA = avro.load("agent_event")
OF_TYPE = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5000),
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False),
    "null": st.none(),
}


def values(avro_type):
    if isinstance(avro_type, list):
        return st.one_of([values(branch) for branch in avro_type])
    if isinstance(avro_type, dict):
        return st.sampled_from(avro_type["symbols"]) if avro_type["type"] == "enum" else values(avro_type["type"])
    return OF_TYPE[avro_type]


EVENTS = st.builds(AgentEvent, **{field["name"]: values(field["type"]) for field in SCHEMA.raw["fields"]})


@given(st.lists(EVENTS, max_size=3))
def test_the_bytes_are_fastavros(events):
    encoder = EventEncoder(SCHEMA, 77)
    assert [wire.encode(event.to_record(), SCHEMA, 77) for event in events] == [encoder(event) for event in events]


@pytest.mark.parametrize(
    ("name", "value"),
    [("run_id", None), ("agent", 3), ("seq", 2**63), ("attempt", 2**31), ("kind", "dance"), ("tool", "\ud800")],
)
def test_what_does_not_fit_is_refused(name, value):
    event = AgentEvent("e", "r", 0, "stop", 0, "a")
    setattr(event, name, value)
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError)):
        EventEncoder(SCHEMA, 1)(event)


@pytest.mark.parametrize("bad", [["string", "null"], {"type": "array", "items": "long"}, "bytes"])
def test_a_schema_that_is_not_flat_is_refused(bad):
    raw = {"type": "record", "name": "R", "fields": [{"name": "event_id", "type": bad}]}
    with pytest.raises(ValueError, match="flat"):
        EventEncoder(avro.make_schema("r", raw), 1)


def test_many_texts_do_not_pile_up():
    encoder = EventEncoder(SCHEMA, 1)
    for number in range(10_000):
        message = encoder(AgentEvent("e", f"run-{number}", 0, "stop", 0, "a"))
    assert "run-9999" == wire.decode_body(wire.split(message)[1], SCHEMA)["run_id"]
    texts = encoder._fields[0][0].__closure__[0].cell_contents
    assert len(texts) <= 4_096


def test_fastavro_reads_what_is_written():
    event = AgentEvent("e", "r", 5, "tool_result", 1_760_000_000_123, "ä", tool="t", status="ok", cost_usd=0.25)
    body = wire.split(EventEncoder(SCHEMA, 1)(event))[1]
    assert event == AgentEvent.from_record(wire.decode_body(body, SCHEMA))
    assert fastavro.schema.parse_schema(SCHEMA.raw)


OPTIONAL = [one["name"] for one in SCHEMA.raw["fields"] if one["name"] == "status" or isinstance(one["type"], list)]


@given(EVENTS, st.sets(st.sampled_from(OPTIONAL)))
def test_what_is_left_out_is_sent_empty_and_the_rest_as_it_is(event, left_out):
    event.ts_ms %= 253_402_300_799_999  # fastavro reads a time as a datetime, which ends with the year 9999
    body = wire.split(EventEncoder(SCHEMA, 1, left_out)(event))[1]
    empty = {name: "none" if name == "status" else None for name in left_out}
    whole = wire.decode_body(wire.split(EventEncoder(SCHEMA, 1)(event))[1], SCHEMA)
    assert whole | empty == wire.decode_body(body, SCHEMA)


@pytest.mark.parametrize("name", ["run_id", "kind", "seq"])
def test_what_an_event_is_known_by_is_not_left_out(name):
    with pytest.raises(ValueError, match=name):
        EventEncoder(SCHEMA, 1, [name])
