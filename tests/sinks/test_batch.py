"""Collecting messages, and cutting them into blocks of one schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.schemas.avro import AvroSchema, load, make_schema
from runwatch.schemas.registry import LocalRegistry
from runwatch.schemas.wire import WireError, encode, header
from runwatch.sinks.batch import Batch, Cutter, Limits, Message
from runwatch.sinks.lead import lead_bytes, offset_bytes

LIMITS = Limits(records=3, size=10_000, linger_s=0.25)
Make = Callable[..., Any]


def cutter(**options: Any) -> Cutter:
    return Cutter(LocalRegistry().schema_of, "AgentEvent", **options)


def test_an_empty_batch_is_never_due() -> None:
    batch = Batch()
    batch.add([], now=0.0)
    assert not batch.due(LIMITS, now=1e9)


def test_a_batch_is_due_when_it_has_waited(message: Make) -> None:
    batch = Batch()
    batch.add([message(0)], now=10.0)
    batch.add([message(1)], now=10.2)
    assert not batch.due(LIMITS, now=10.24)
    assert batch.due(LIMITS, now=10.25)


@pytest.mark.parametrize("limits", [Limits(records=2), Limits(size=60)])
def test_a_batch_is_due_when_it_is_full(message: Make, limits: Limits) -> None:
    batch = Batch()
    batch.add([message(0), message(1)], now=10.0)
    assert batch.full(limits)
    assert batch.due(limits, now=10.0)


def test_what_is_to_be_committed_is_the_offset_after_the_last(message: Make) -> None:
    batch = Batch()
    batch.add([message(5), message(6), message(3, partition=1)], now=0.0)
    assert {("agent.events", 0): 7, ("agent.events", 1): 4} == batch.ends()


def test_partitions_that_went_away_leave_nothing_behind(message: Make) -> None:
    batch = Batch()
    batch.add([message(5), message(3, partition=1)], now=0.0)
    batch.drop([("agent.events", 0), ("agent.events", 9)])
    assert {("agent.events", 1): 4} == batch.ends()
    assert (1, len(message(3))) == (batch.records, batch.size)
    batch.drop([("agent.events", 1)])
    assert (0, 0, None) == (batch.records, batch.size, batch.since)


def test_messages_of_one_schema_make_one_block(message: Make, event_schema: AvroSchema) -> None:
    cut = cutter()
    cut.add(lead_bytes(1, 0), [message(0), message(1)])
    cut.add(lead_bytes(1, 1), [message(0, partition=1)])
    assert [event_schema.schema_id] == list(cut.blocks)
    assert [(0, 0), (0, 1), (1, 0)] == [
        (each.partition(), each.offset()) for each in cut.blocks[event_schema.schema_id].messages
    ]
    assert cut.bad == []


def test_an_older_schema_has_its_own_block(message: Make, event_schema: AvroSchema, an_event: Make) -> None:
    raw = json.loads(event_schema.text)
    raw["fields"] = [each for each in raw["fields"] if each["name"] != "labels"]
    older = make_schema("agent_event", raw)
    cut = Cutter(LocalRegistry((older,)).schema_of, "AgentEvent")
    cut.add(lead_bytes(1, 0), [message(0), message(1, value=encode(an_event(), older, older.schema_id)), message(2)])
    assert {event_schema.schema_id: [0, 2], older.schema_id: [1]} == {
        schema_id: [each.offset() for each in block.messages] for schema_id, block in cut.blocks.items()
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\x00\x01", "short"),
        (b"\x01\x00\x00\x00\x01body", "magic"),
        (header(77) + b"body", "schema"),
        (header(load("anomaly").schema_id) + b"body", "schema"),
    ],
)
def test_what_is_no_framed_event_is_set_aside(message: Make, value: bytes | None, reason: str) -> None:
    alone, among = cutter(), cutter()
    alone.add(lead_bytes(1, 0), [message(4, value=value)])
    among.add(lead_bytes(1, 0), [message(3), message(4, value=value), message(5)])
    assert [(4, reason)] == [(bad.message.offset(), bad.reason) for bad in alone.bad]
    assert [(4, reason)] == [(bad.message.offset(), bad.reason) for bad in among.bad]
    assert [[3, 5]] == [[each.offset() for each in block.messages] for block in among.blocks.values()]
    assert [] == [block for block in alone.blocks.values() if block.bodies]


def test_a_tombstone_is_no_fault_on_a_compacted_topic(message: Make) -> None:
    cut = cutter(tombstones=True)
    cut.add(lead_bytes(1, 0), [message(0), message(1, value=None)])
    assert cut.bad == []
    assert [[0]] == [[each.offset() for each in block.messages] for block in cut.blocks.values()]


def test_a_topic_of_few_messages_may_have_each_looked_at(message: Make) -> None:
    def check(one: Message, schema_of: object) -> bytes:
        if one.key() != b"key":
            raise WireError("forged", "the key is another")
        return b"further"

    cut = cutter(tombstones=True, check=check)
    forged, gone = replace(message(1), key_bytes=b"other"), message(2, value=None)
    cut.add(lead_bytes(1, 0), [message(0), forged, gone, replace(gone, key_bytes=None)])
    (block,) = cut.blocks.values()
    assert [0] == [each.offset() for each in block.messages]
    assert [lead_bytes(1, 0) + offset_bytes(0) + b"further" + message(0).value()[5:]] == block.bodies
    assert [(1, "forged"), (2, "forged")] == [(bad.message.offset(), bad.reason) for bad in cut.bad]


def test_a_registry_is_asked_once_for_an_unknown_id(message: Make) -> None:
    asked: list[int] = []

    def schema_of(schema_id: int) -> AvroSchema:
        asked.append(schema_id)
        return LocalRegistry().schema_of(schema_id)

    cut = Cutter(schema_of, "AgentEvent")
    cut.add(lead_bytes(1, 0), [message(at, value=header(77) + b"x") for at in range(5)])
    assert [77] == asked
    assert len(cut.bad) == 5


@given(st.lists(st.sampled_from(["good", "none", "short", "magic", "schema"]), max_size=30))
def test_every_message_is_in_a_block_or_bad(message: Make, kinds: list[str]) -> None:
    values = {"none": None, "short": b"\x00", "magic": b"\x07" * 9, "schema": header(1) + b"x"}
    messages = [message(at) if kind == "good" else message(at, value=values[kind]) for at, kind in enumerate(kinds)]
    cut = cutter()
    cut.add(lead_bytes(1, 0), messages)
    placed = [each.offset() for block in cut.blocks.values() for each in block.messages]
    assert [at for at, kind in enumerate(kinds) if kind == "good"] == placed
    assert [at for at, kind in enumerate(kinds) if kind != "good"] == [bad.message.offset() for bad in cut.bad]
