"""Kafka's coordinates before each body: what native readers see in front of the record."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas.avro import AvroSchema
from runwatch.schemas.container import SENTINEL, pack, zigzag
from runwatch.sinks.lead import lead_bodies, lead_bytes, offset_bytes
from runwatch.sinks.routes import LEAD


def read_long(data: bytes) -> int:
    stream = BytesIO(data)
    value = fastavro.schemaless_reader(stream, {"type": "long"}, None)
    assert stream.tell() == len(data)
    return value


@given(st.integers(0, 2**62 - 1))
def test_an_offset_reads_back(offset: int) -> None:
    assert read_long(offset_bytes(offset)) == offset


@given(st.integers(8192, 2**62 - 1))
def test_an_offset_is_written_as_avro_writes_it(offset: int) -> None:
    assert zigzag(offset) == offset_bytes(offset)


@given(st.integers(0, 2**32 - 1), st.integers(0, 100_000))
def test_source_and_partition_stand_first(source: int, partition: int) -> None:
    assert zigzag(source) + zigzag(partition) == lead_bytes(source, partition)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40)), max_size=20))
def test_a_container_gives_back_each_place_and_record(
    event_schema: AvroSchema, an_event: Callable[..., dict[str, Any]], places: list[tuple[int, int]]
) -> None:
    bodies: list[bytes] = []
    for seq, (partition, offset) in enumerate(places):
        out = BytesIO()
        fastavro.schemaless_writer(out, event_schema.parsed, an_event(seq=seq, tool="http.get"))
        bodies += lead_bodies(lead_bytes(7, partition), [offset], [b"HEAD!" + out.getvalue()], 5)

    rows = list(fastavro.reader(BytesIO(pack(bodies, event_schema, LEAD))))

    expected = [(7, partition, offset, seq, SENTINEL) for seq, (partition, offset) in enumerate(places)]
    assert expected == [tuple(row[name] for name in (*LEAD, "seq", "_end")) for row in rows]
