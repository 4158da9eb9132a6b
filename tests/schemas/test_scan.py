"""What is beyond doubt decodes, whatever was done to it; and whole messages in plain text are beyond doubt."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas.avro import AvroSchema, load, make_schema
from runwatch.schemas.scan import doubtful
from runwatch.schemas.wire import WireError, decode_body

EVENT = load("agent_event")
SMALL = make_schema(
    "small",
    {
        "type": "record", "name": "Small", "namespace": "t",
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "kind", "type": {"type": "enum", "name": "E", "symbols": ["a", "b"]}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "count", "type": ["null", "int"]},
            {"name": "blob", "type": ["string", "null", "bytes"]},
            {"name": "share", "type": ["null", "double", "float"]},
            {"name": "is", "type": "boolean"},
            {"name": "nothing", "type": "null"},
        ],
    },
)  # fmt: skip

plain = st.text(st.characters(max_codepoint=127), max_size=12)
smalls = st.fixed_dictionaries(
    {
        "name": plain,
        "kind": st.sampled_from("ab"),
        "at": st.integers(-(10**12), 10**13),
        "count": st.none() | st.integers(-(2**31), 2**31 - 1),
        "blob": st.none() | plain | st.binary(max_size=12),
        "share": st.none() | st.floats(allow_nan=False),
        "is": st.booleans(),
        "nothing": st.none(),
    }
)


def body(record: dict[str, Any], schema: AvroSchema = SMALL) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, record)
    return out.getvalue()


def reads(one: bytes, schema: AvroSchema = SMALL) -> bool:
    try:
        decode_body(one, schema)
    except WireError:
        return False
    return True


def doubts(bodies: list[bytes], schema: AvroSchema = SMALL) -> list[bool]:
    found = doubtful(bodies, schema)
    assert found is not None
    return [bool(one) for one in found]


@given(st.lists(smalls, max_size=8))
def test_whole_messages_in_plain_text_are_beyond_doubt(records: list[dict[str, Any]]) -> None:
    assert [False] * len(records) == doubts([body(one) for one in records])


@given(st.data(), st.lists(smalls, min_size=1, max_size=6))
def test_what_is_beyond_doubt_decodes(data: Any, records: list[dict[str, Any]]) -> None:
    bodies = []
    for one in map(body, records):
        bad = bytearray(one)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, max(0, len(bad) - 1)))
            how = data.draw(st.sampled_from(("cut", "change", "add")))
            if how == "cut":
                del bad[at:]
            elif how == "change" and bad:
                bad[at] = data.draw(st.integers(0, 255))
            else:
                bad[at:at] = data.draw(st.binary(max_size=11))
        bodies.append(bytes(bad))
    assert [] == [one for one, doubt in zip(bodies, doubts(bodies), strict=True) if not doubt and not reads(one)]


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_noise_that_is_beyond_doubt_decodes(bodies: list[bytes]) -> None:
    assert [] == [one for one, doubt in zip(bodies, doubts(bodies), strict=True) if not doubt and not reads(one)]


@given(st.lists(smalls, min_size=1, max_size=6), st.data())
def test_a_broken_neighbour_changes_nothing(records: list[dict[str, Any]], data: Any) -> None:
    bodies = [body(one) for one in records]
    at = data.draw(st.integers(0, len(bodies)))
    noise = data.draw(st.binary(max_size=30))
    found = doubts([*bodies[:at], noise, *bodies[at:]])
    assert [False] * len(bodies) == found[:at] + found[at + 1 :]


GOOD = body({"name": "n", "kind": "a", "at": 1, "count": 1, "blob": "b", "share": None, "is": True, "nothing": None})


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (GOOD[:-1], "cut short"),
        (GOOD + b"\0", "longer"),
        (b"", "empty"),
        (b"\x03" + GOOD[1:], "a length below nothing"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + GOOD[1:], "a length beyond the body"),
        (b"\xff" * 11, "a number without an end"),
        (GOOD[:2] + b"\x04" + GOOD[3:], "the third of two symbols"),
        (GOOD[:2] + b"\x01" + GOOD[3:], "a symbol counted from the end"),
        (GOOD[:4] + b"\x04" + GOOD[5:], "the third of two branches"),
        (GOOD[:-1] + b"\x02", "a boolean that is neither"),
        (b"\x02\xc3" + GOOD[2:], "text that is no UTF-8"),
    ],
)
def test_each_fault_is_doubted(bad: bytes, what: str) -> None:
    assert [False, True, False] == doubts([GOOD, bad, GOOD]), what


def test_text_beyond_ascii_is_left_to_the_slow_way() -> None:
    assert [True] == doubts(["\x02ä".encode().replace(b"\x02", b"\x04", 1) + GOOD[2:]])
    assert reads(b"\x04" + "ä".encode() + GOOD[2:])


def test_an_event_that_was_cut_is_doubted() -> None:
    record = {field["name"]: field.get("default") for field in EVENT.raw["fields"]}
    record |= {"event_id": "e", "run_id": "r", "seq": 1, "kind": "stop", "ts_ms": 1_772_366_400_000, "agent": "a"}
    one = body(record | {"status": "ok"}, EVENT)
    assert [False, True, False] == doubts([one, one[:-2], one], EVENT)


def test_what_cannot_be_walked_through_is_said_so() -> None:
    assert doubtful([b""], load("window_part")) is None


def test_none_at_all() -> None:
    assert np.array_equal(np.empty(0, bool), doubtful([], SMALL))
