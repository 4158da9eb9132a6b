"""Many messages as one Avro container: native readers see what was sent, and never a broken one."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import polars
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runwatch.schemas import avro
from runwatch.schemas.avro import AvroSchema
from runwatch.schemas.container import END_BYTES, SENTINEL, pack, zigzag
from runwatch.schemas.events import AgentEvent, epoch_ms
from runwatch.schemas.wire import WireError, decode_body, encode

EVENT = avro.load("agent_event")


def body_of(record: dict[str, Any], schema: AvroSchema) -> bytes:
    return encode(record, schema, 0)[5:]


def event_body(seq: int, tool: str = "http.get") -> bytes:
    event = AgentEvent(f"e-{seq}", f"run-{seq % 3}", seq, "tool_result", 1_700_000_000_000 + seq, "support", tool=tool)
    return body_of(event.to_record(), EVENT)


def by_fastavro(container: bytes) -> list[dict[str, Any]]:
    return [
        {name: epoch_ms(value) for name, value in record.items()}  # type: ignore[arg-type]
        for record in fastavro.reader(io.BytesIO(container))
        if isinstance(record, dict)
    ]


def by_polars(container: bytes) -> list[dict[str, Any]]:
    frame = polars.read_avro(io.BytesIO(container))
    # Enums come as categories, timestamps as datetimes: told as what was written.
    return [
        {name: epoch_ms(value) for name, value in row.items()}
        for row in frame.with_columns(polars.col(polars.Datetime).dt.replace_time_zone("UTC")).iter_rows(named=True)
    ]


READERS = {"fastavro": by_fastavro, "polars": by_polars}


@pytest.fixture(scope="session", params=READERS)
def read(request: pytest.FixtureRequest) -> Any:
    """Each reader in turn: container → records."""
    return READERS[request.param]


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
@example(0)
@example(-1)
@example(2**63 - 1)
@example(-(2**63))
def test_zigzag_is_avros(value: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema({"type": "long"}), value)
    assert out.getvalue() == zigzag(value)


def test_the_sentinel_is_no_text() -> None:
    # A string can therefore never hold it, however it was meant.
    assert zigzag(SENTINEL) == END_BYTES
    assert len(END_BYTES) == 10
    with pytest.raises(UnicodeDecodeError):
        END_BYTES.decode()


@given(data=st.data())
def test_every_record_comes_back_with_its_lead_and_sentinel(
    schema: AvroSchema, read: Any, record_strategy: Any, data: st.DataObject
) -> None:
    records = data.draw(st.lists(record_strategy(schema), min_size=1, max_size=5))
    leads = data.draw(
        st.lists(
            st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**62)),
            min_size=len(records),
            max_size=len(records),
        )
    )
    bodies = [
        zigzag(partition) + zigzag(offset) + body_of(record, schema)
        for record, (partition, offset) in zip(records, leads, strict=True)
    ]
    expected = [
        {"kafka_partition": partition, "kafka_offset": offset, **record, "_end": SENTINEL}
        for record, (partition, offset) in zip(records, leads, strict=True)
    ]
    assert expected == read(pack(bodies, schema, ("kafka_partition", "kafka_offset")))


def test_the_columns_come_in_the_schemas_order(schema: AvroSchema) -> None:
    container = pack([], schema, ("kafka_partition",))
    written = fastavro.reader(io.BytesIO(container)).writer_schema
    assert ["kafka_partition", *schema.field_names, "_end"] == [field["name"] for field in written["fields"]]


def test_no_messages_make_an_empty_container(schema: AvroSchema) -> None:
    assert by_fastavro(pack([], schema)) == []


def seen_by(read: Any, container: bytes) -> list[dict[str, Any]] | None:
    """The records a reader took for good, or None where it noticed that something is wrong."""
    try:
        records: list[dict[str, Any]] = read(container)
    except BaseException as error:  # Polars panics, and its PanicException is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None
    return records if all(record["_end"] == SENTINEL for record in records) else None


@st.composite
def damage(draw: st.DrawFn, body: bytes) -> bytes:
    """A body as a broken producer, disk or network may leave it."""
    at = draw(st.integers(0, len(body) - 1))
    return draw(
        st.sampled_from(
            [
                body[:at],
                body[at:],
                body[:at] + bytes([body[at] ^ 1 << draw(st.integers(0, 7))]) + body[at + 1 :],
                body[:at] + draw(st.binary(min_size=1, max_size=12)) + body[at:],
                body + draw(st.binary(min_size=1, max_size=12)),
                body[:at] + body[at + draw(st.integers(1, 12)) :],
                draw(st.binary(max_size=60)),
                body + body,
                b"",
            ]
        )
    )


@given(data=st.data())
def test_a_broken_body_never_changes_what_its_neighbours_say(
    schema: AvroSchema, read: Any, record_strategy: Any, data: st.DataObject
) -> None:
    records = data.draw(st.lists(record_strategy(schema), min_size=2, max_size=4))
    bodies = [body_of(record, schema) for record in records]
    broken = data.draw(st.sets(st.integers(0, len(bodies) - 1), min_size=1, max_size=len(bodies)))
    for at in broken:
        bodies[at] = data.draw(damage(bodies[at]))
    try:
        seen = seen_by(read, pack(bodies, schema))
    except WireError:
        seen = None
    # A flipped bit inside a number or a text is a record like any other; its neighbours are not its business.
    if seen is not None:
        assert len(seen) == len(records)
        assert [at for at in range(len(records)) if at not in broken and seen[at] != ended(records[at])] == []


def ended(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "_end": SENTINEL}


@given(st.lists(st.text("abcdefgh./", max_size=40), min_size=2, max_size=8), st.data())
def test_a_body_cut_short_is_always_seen(read: Any, tools: list[str], data: st.DataObject) -> None:
    bodies = [event_body(seq, tool) for seq, tool in enumerate(tools)]
    at = data.draw(st.integers(0, len(bodies) - 1))
    bodies[at] = bodies[at][: data.draw(st.integers(0, len(bodies[at]) - 1))]
    assert seen_by(read, pack(bodies, EVENT)) is None


def test_a_cut_body_can_swallow_its_neighbours_head_and_only_the_sentinel_tells() -> None:
    # Why there is a sentinel: without it these two parse.
    first, second = event_body(0, "a" * 60), event_body(1)
    plain = fastavro.parse_schema(EVENT.raw, _write_hint=False)
    unseen = 0
    for cut in range(len(first)):
        try:
            fastavro.schemaless_reader(io.BytesIO(first[:cut] + second), plain)
        except Exception:
            continue
        unseen += 1
        assert seen_by(by_polars, pack([first[:cut], second], EVENT)) is None
    assert unseen > 0


def test_two_records_in_one_body_are_refused() -> None:
    # Each would end in the sentinel, and the last record of the block would be pushed out unseen.
    double = event_body(0) + END_BYTES + event_body(1)
    with pytest.raises(WireError, match="a body holds the bytes that mark a record's end") as caught:
        pack([double, event_body(2)], EVENT)
    assert caught.value.reason == "avro"


def test_a_number_that_is_the_sentinel_is_refused() -> None:
    # It is a good message all the same: read alone, it says what it says.
    event = AgentEvent("e-0", "run-0", SENTINEL, "stop", 0, "support")
    body = body_of(event.to_record(), EVENT)
    with pytest.raises(WireError):
        pack([body], EVENT)
    assert AgentEvent.from_record(decode_body(body, EVENT)) == event


def test_a_sentinel_made_by_two_neighbours_is_refused() -> None:
    with pytest.raises(WireError):
        pack([event_body(0) + END_BYTES[:5], END_BYTES[5:] + END_BYTES], EVENT)
