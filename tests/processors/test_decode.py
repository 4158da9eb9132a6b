"""Frames into columns: the good come out, the bad are named."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors import decode as module
from runwatch.processors.decode import FrameDecoder
from runwatch.processors.frames import Frame
from runwatch.schemas import avro, wire
from runwatch.schemas.avro import AvroSchema, make_schema
from runwatch.schemas.registry import LocalRegistry

from ..window_parts import part
from .support import EVENT, T0, event, frame, message, part_message

FIELDS = EVENT.field_names
DECODER = FrameDecoder("agent_event", LocalRegistry())


def rows(decoder: FrameDecoder, values: list[bytes | None]) -> list[dict[str, Any]]:
    return decoder.decode(frame(values)).columns.drop("_at").to_dicts()


def bad(values: list[bytes | None], decoder: FrameDecoder = DECODER) -> list[tuple[int, str]]:
    return [(one.at, one.reason) for one in decoder.decode(frame(values)).bad]


def without(schema: AvroSchema, *names: str) -> AvroSchema:
    """An older version of the schema, which lacks these fields."""
    fields = [field for field in schema.raw["fields"] if field["name"] not in names]
    return make_schema(schema.name, {**schema.raw, "fields": fields})


def test_a_good_frame_is_its_records() -> None:
    records = [event(seq=0, kind="run_start"), event(seq=1, cost_usd=0.5), event(seq=2, kind="stop", outcome=1.0)]
    decoded = DECODER.decode(frame([message(record) for record in records]))
    assert records == decoded.columns.drop("_at").to_dicts()
    assert [0, 1, 2] == decoded.columns["_at"].to_list()
    assert [] == decoded.bad


def test_only_the_wanted_columns_come_out() -> None:
    decoder = FrameDecoder("agent_event", LocalRegistry(), ("run_id", "seq", "ts_ms"))
    assert [{"run_id": "r", "seq": 4, "ts_ms": T0 + 4000}] == rows(decoder, [message(event(seq=4))])
    # The same ones when messages are read one by one.
    broken = message(event(seq=5))[:-1]
    assert [{"run_id": "r", "seq": 4, "ts_ms": T0 + 4000}] == rows(decoder, [broken, message(event(seq=4))])


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("agent_event", [message(event(seq=at)) for at in range(5)]),
        ("window_part", [part_message(part(tool=tool)) for tool in (None, "a", "b")]),
    ],
)
def test_a_frame_is_read_the_same_after_a_broken_one(name: str, messages: list[bytes]) -> None:
    fresh, shaken = FrameDecoder(name, LocalRegistry()), FrameDecoder(name, LocalRegistry())
    assert [0] == [one.at for one in shaken.decode(frame([messages[0][:-1]])).bad]
    for _ in range(2):  # the first of these is read with care, the second at once
        expected, found = fresh.decode(frame(messages)), shaken.decode(frame(messages))
        assert expected.columns.equals(found.columns, null_equal=True)
        assert expected.columns.schema == found.columns.schema and [] == found.bad == expected.bad


BAD: dict[str, tuple[bytes | None, str]] = {
    "none": (None, "empty"),
    "empty": (b"", "empty"),
    "short": (b"\x00\x00", "short"),
    "json": (b'{"kind": "stop"}', "magic"),
    "unknown id": (wire.header(12345) + message(event())[5:], "schema"),
    "another record": (wire.header(avro.load("control").schema_id) + b"\x00", "schema"),
    "no body": (wire.header(EVENT.schema_id), "avro"),
    "truncated": (message(event())[:-3], "avro"),
    "left over": (message(event()) + b"\x02", "avro"),
    "garbage": (wire.header(EVENT.schema_id) + b"\xff" * 40, "avro"),
    "not utf-8": (message(event(run="rrr")).replace(b"rrr", b"\xff\xfe\xfd", 1), "avro"),
    "no such time": (message(event(ts_ms=2**60)), "avro"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_named_and_the_good_ones_go_on(name: str) -> None:
    value, reason = BAD[name]
    good = [message(event(seq=seq)) for seq in range(4)]
    assert [(2, reason)] == bad([*good[:2], value, *good[2:]])
    assert [event(seq=seq) for seq in range(4)] == rows(DECODER, [*good[:2], value, *good[2:]])
    assert [(0, reason)] == bad([value])
    assert [] == rows(DECODER, [value])


def test_every_bad_one_of_many_is_named_in_order() -> None:
    values = [value for value, _ in BAD.values()]
    assert [(at, reason) for at, (_, reason) in enumerate(BAD.values())] == bad(values)


def test_a_body_that_swallows_its_neighbour_is_seen() -> None:
    # Cut within its last string, so that the length it tells reaches into the next body.
    first = message(event(seq=0, labels="x" * 30))
    swallowed = first[:-20]
    neighbour, third = message(event(seq=1)), message(event(seq=2))
    assert [(0, "avro")] == bad([swallowed, neighbour, third])
    assert [event(seq=1), event(seq=2)] == rows(DECODER, [swallowed, neighbour, third])


def test_messages_of_an_older_schema_get_the_defaults() -> None:
    older = without(EVENT, "labels", "outcome")
    decoder = FrameDecoder("agent_event", LocalRegistry(older=(older,)))
    old = [wire.encode(event(seq=seq), older, older.schema_id) for seq in range(3)]
    assert [event(seq=0), event(seq=1), event(seq=2)] == rows(decoder, list(old))
    mixed = [old[0], message(event(seq=9, outcome=0.5)), old[2]]
    decoded = decoder.decode(frame(mixed))
    assert [event(seq=0), event(seq=9, outcome=0.5), event(seq=2)] == decoded.columns.drop("_at").to_dicts()
    assert [0, 1, 2] == decoded.columns["_at"].to_list()


def test_an_older_part_without_a_sketch_has_an_empty_one() -> None:
    schema = avro.load("window_part")
    older = without(schema, "call_ms_keys", "call_ms_counts")
    decoder = FrameDecoder("window_part", LocalRegistry(older=(older,)))
    record: dict[str, Any] = dict.fromkeys(older.field_names, 0)
    record |= {"agent": "a", "agent_version": None, "model": None, "tool": None, "closed": True}
    record |= {field["name"]: [] for field in older.raw["fields"] if field["name"].endswith(("_keys", "_counts"))}
    record |= {"stop_reasons": []}
    (row,) = rows(decoder, [wire.encode(record, older, older.schema_id)])
    assert [] == row["call_ms_keys"]
    assert [] == row["call_ms_counts"]


def test_an_older_schema_that_lacks_what_must_be_is_refused() -> None:
    older = without(EVENT, "run_id")
    decoder = FrameDecoder("agent_event", LocalRegistry(older=(older,)))
    old = wire.encode(event(), older, older.schema_id)
    assert [(0, "avro")] == bad([old, message(event(seq=1))], decoder)
    assert [event(seq=1)] == rows(decoder, [old, message(event(seq=1))])


@pytest.mark.parametrize("schema_id", [1, 0x0000_80FF, 0x0001_C0FF, 0x7FFF_FFFF])
def test_an_id_may_be_any_number(schema_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as floats, these are a tiny number, an infinity, and two that are no numbers."""

    class Numbered(LocalRegistry):
        def schema_of(self, wanted: int) -> AvroSchema:
            return super().schema_of(EVENT.schema_id if wanted == schema_id else wanted)

    def one_by_one(*_: object) -> None:
        raise AssertionError("good messages are read at once")

    decoder = FrameDecoder("agent_event", Numbered(), ("run_id", "seq"))
    values = [wire.encode(event(seq=seq), EVENT, schema_id) for seq in range(3)]
    assert [(1, "schema")] == bad([values[0], wire.header(schema_id ^ 2) + values[1][5:], values[2]], decoder)
    monkeypatch.setattr(module, "decode_body", one_by_one)
    assert [0, 1, 2] == [row["seq"] for row in rows(decoder, values)]


def test_a_panic_in_the_reader_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    from polars.exceptions import PanicException

    def panic(*_: Any, **__: Any) -> None:
        raise PanicException("index out of bounds")

    monkeypatch.setattr(module.pl, "read_avro", panic)
    assert not issubclass(PanicException, Exception)
    assert [event(seq=3)] == rows(DECODER, [message(event(seq=3))])


@pytest.mark.parametrize("wish", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_wish_to_stop_is_no_bad_message(monkeypatch: pytest.MonkeyPatch, wish: type[BaseException]) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise wish

    monkeypatch.setattr(module.pl, "read_avro", stop)
    with pytest.raises(wish):
        DECODER.decode(frame([message(event())]))


def test_an_empty_frame_has_the_columns() -> None:
    decoded = DECODER.decode(Frame("t", 0, [], range(0), T0))
    assert [*FIELDS, "_at"] == decoded.columns.columns
    assert 0 == decoded.columns.height


def test_a_registry_that_is_away_is_no_fault_of_the_messages() -> None:
    class Away(LocalRegistry):
        def schema_of(self, schema_id: int) -> AvroSchema:
            raise RuntimeError("away")

    with pytest.raises(RuntimeError, match="away"):
        FrameDecoder("agent_event", Away()).decode(frame([message(event())]))


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=12)
events = st.builds(
    event,
    run=st.text(st.characters(codec="utf-8"), max_size=8),
    seq=st.integers(0, 2**40),
    kind=st.sampled_from(["tool_result", "stop", "model_result", "other"]),
    ts_ms=st.integers(0, 4_000_000_000_000),
    tool=texts,
    labels=texts,
    duration_ms=st.none() | st.integers(0, 2**62),
    outcome=st.none() | st.floats(0, 1),
)


def damage(value: bytes, how: str, at: int, junk: bytes) -> bytes | None:
    place = at % len(value)
    match how:
        case "cut":
            return value[:place]
        case "drop":
            return value[:place] + value[place + 1 :]
        case "insert":
            return value[:place] + junk + value[place:]
        case "junk":
            return junk
        case "id":
            return struct.pack(">BI", 0, at) + value[5:]
        case _:
            return None


damages = st.tuples(
    st.sampled_from(["cut", "drop", "insert", "junk", "id", "none"]), st.integers(0, 2**31), st.binary(max_size=12)
)


@settings(max_examples=60)
@given(st.lists(st.tuples(events, st.none() | damages), max_size=12))
def test_all_good_come_out_unchanged_and_every_bad_one_is_named(
    plan: list[tuple[dict[str, Any], tuple[str, int, bytes] | None]],
) -> None:
    values = [message(record) if hurt is None else damage(message(record), *hurt) for record, hurt in plan]
    decoded = DECODER.decode(frame(values))
    columns = decoded.columns.drop("_at")
    found = dict(zip(decoded.columns["_at"].to_list(), columns.rows(), strict=True))
    named = {one.at: one.reason for one in decoded.bad}
    # Each message is a row or is named, and both are in order.
    assert list(range(len(values))) == sorted([*found, *named])
    assert sorted(found) == list(found)
    assert sorted(named) == list(named)
    for at, (value, (record, hurt)) in enumerate(zip(values, plan, strict=True)):
        if hurt is None:
            assert tuple(record[name] for name in FIELDS) == found[at]
            continue
        # Damage may leave a message that reads; what it is alone, it is among others. But for what only
        # fastavro refuses: a null's place taken by a union index that does not exist, which Polars lets pass.
        alone = DECODER.decode(frame([value]))
        if alone.bad:
            assert alone.bad[0].reason == named[at]
        elif at in found:
            assert alone.columns.drop("_at").row(0) == found[at]
        else:
            assert "avro" == named[at]
            assert value is not None
            with pytest.raises(wire.WireError):
                wire.decode_body(value[5:], EVENT)
