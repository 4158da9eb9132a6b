"""Confluent framing, both ways, and a word for each way in which bytes can be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runwatch.schemas import avro
from runwatch.schemas.avro import AvroSchema
from runwatch.schemas.events import AgentEvent, epoch_ms
from runwatch.schemas.wire import HEADER_BYTES, WireError, decode_body, encode, header, split

EVENT = avro.load("agent_event")


def event(**fields: Any) -> AgentEvent:
    return AgentEvent("e-1", "run-1", 0, "tool_result", 1_700_000_000_123, "support", **fields)


def numbers(record: dict[str, Any]) -> dict[str, Any]:
    """A record as it was written: fastavro reads timestamps as datetimes."""
    return {name: epoch_ms(value) for name, value in record.items()}


def test_the_header_is_confluents() -> None:
    assert bytes.fromhex("0000000102") == header(258)
    assert bytes.fromhex("00ffffffff") == header(2**32 - 1)


def test_a_message_is_header_and_body() -> None:
    message = encode(event().to_record(), EVENT, 7)
    assert split(message) == (7, message[5:])
    assert HEADER_BYTES == 5


@given(st.data())
def test_what_is_written_is_read(schema: AvroSchema, record_strategy: Any, data: st.DataObject) -> None:
    record = data.draw(record_strategy(schema))
    schema_id, body = split(encode(record, schema, schema.schema_id))
    assert schema_id == schema.schema_id
    assert numbers(decode_body(body, schema)) == record


@pytest.mark.parametrize(
    ("message", "reason", "sentence"),
    [
        (None, "empty", "the message has no value"),
        (b"", "empty", "the message has no value"),
        (b"\x00\x00", "short", "the message has 2 bytes; its header alone needs 5"),
        (b"{}{}{}", "magic", "the message begins with byte 123, not 0: it is not Confluent-framed Avro"),
        (
            b"\x01\x00\x00\x00\x07body",
            "magic",
            "the message begins with byte 1, not 0: it is not Confluent-framed Avro",
        ),
    ],
)
def test_bytes_that_are_no_frame(message: bytes | None, reason: str, sentence: str) -> None:
    with pytest.raises(WireError) as caught:
        split(message)
    assert (caught.value.reason, str(caught.value)) == (reason, sentence)


def test_a_frame_without_body_is_a_frame_whose_body_does_not_parse() -> None:
    assert split(header(9)) == (9, b"")
    with pytest.raises(WireError, match="the body does not parse as agent_event"):
        decode_body(b"", EVENT)


def test_bytes_left_over_are_an_error() -> None:
    body = encode(event().to_record(), EVENT, 1)[5:]
    with pytest.raises(WireError, match="2 bytes are left over after the agent_event") as caught:
        decode_body(body + b"xx", EVENT)
    assert caught.value.reason == "avro"


def test_a_schema_that_is_no_record_is_an_error() -> None:
    number = avro.make_schema("number", {"type": "long"})
    with pytest.raises(WireError, match="the body is no number record"):
        decode_body(b"\x02", number)


@given(st.data())
def test_a_body_cut_short_never_parses(schema: AvroSchema, record_strategy: Any, data: st.DataObject) -> None:
    body = encode(data.draw(record_strategy(schema)), schema, 1)[5:]
    with pytest.raises(WireError) as caught:
        decode_body(body[: data.draw(st.integers(0, len(body) - 1))], schema)
    assert caught.value.reason == "avro"


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_a_wire_error(schema: AvroSchema, body: bytes) -> None:
    try:
        record = decode_body(body, schema)
    except WireError as error:
        assert error.reason == "avro"
    else:
        assert set(record) == set(schema.field_names)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "tool_call"},
        {"seq": 2**63},
        {"seq": None},
        {"seq": "1"},
        {"run_id": None},
        {"run_id": 7},
        {"run_id": "\ud800"},
        {"attempt": 2**31},
        {"duration_ms": -(2**63) - 1},
        {"outcome": "good"},
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode({**event().to_record(), **fields}, EVENT, 1)


def test_a_record_with_a_field_missing_is_refused() -> None:
    record = event().to_record()
    del record["run_id"]
    with pytest.raises(ValueError, match="run_id"):
        encode(record, EVENT, 1)


@given(st.text(), st.floats(allow_nan=False))
def test_an_event_comes_back_as_it_was(tool: str, outcome: float) -> None:
    assume(not any("\ud800" <= sign <= "\udfff" for sign in tool))
    sent = event(tool=tool, outcome=outcome, status="error")
    assert sent == AgentEvent.from_record(decode_body(split(encode(sent.to_record(), EVENT, 1))[1], EVENT, EVENT))
