"""A refused block: exactly the bad messages are found, and all others stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.clickhouse import StoreAway, StoreError
from runwatch.schemas.container import END_BYTES
from runwatch.schemas.registry import LocalRegistry
from runwatch.sinks import insert
from runwatch.sinks.batch import Block, Cutter
from runwatch.sinks.insert import insert_block
from runwatch.sinks.lead import lead_bytes
from runwatch.sinks.routes import Route

Make = Callable[..., Any]


def one_block(messages: list[Any]) -> Block:
    cut = Cutter(LocalRegistry().schema_of, "AgentEvent")
    cut.add(lead_bytes(1, 0), messages)
    (block,) = cut.blocks.values()
    return block


def test_a_good_block_is_one_insert(landing: Any, events_route: Route, message: Make) -> None:
    outcome = insert_block(landing, events_route, one_block([message(at) for at in range(9)]))
    assert (9, [], 1) == (outcome.stored, outcome.bad, landing.inserts)
    assert list(range(9)) == landing.offsets()


@given(st.sets(st.integers(0, 19)), st.integers(6, 40), st.booleans())
def test_truncated_messages_are_found_and_the_rest_stored(
    new_landing: Make, events_route: Route, message: Make, cut_ones: set[int], length: int, sift_first: bool
) -> None:
    landing = new_landing()
    whole = [message(at).value() for at in range(20)]
    messages = [message(at, value=whole[at][:length] if at in cut_ones else whole[at]) for at in range(20)]
    outcome = insert_block(landing, events_route, one_block(messages), sift_first=sift_first)
    assert not sift_first or 1 == landing.inserts
    assert sorted(cut_ones) == [bad.message.offset() for bad in outcome.bad]
    assert {"avro"} >= {bad.reason for bad in outcome.bad}
    assert [at for at in range(20) if at not in cut_ones] == landing.offsets()
    assert 20 - len(cut_ones) == outcome.stored


def test_what_decodes_and_is_refused_is_found_by_halving(landing: Any, events_route: Route, message: Make) -> None:
    landing.refuse = lambda row: row["kafka_offset"] in (3, 11)
    outcome = insert_block(landing, events_route, one_block([message(at) for at in range(16)]))
    assert [(3, "refused"), (11, "refused")] == [(bad.message.offset(), bad.reason) for bad in outcome.bad]
    assert [at for at in range(16) if at not in (3, 11)] == landing.offsets()


def test_a_body_with_a_sentinel_inside_is_set_aside(landing: Any, events_route: Route, message: Make) -> None:
    smuggled = message(1, value=message(1).value() + END_BYTES + message(1).value()[5:])
    outcome = insert_block(landing, events_route, one_block([message(0), smuggled, message(2)]))
    assert [1] == [bad.message.offset() for bad in outcome.bad]
    assert [0, 2] == landing.offsets()


def test_a_table_that_takes_nothing_does_not_drain_the_topic(
    landing: Any, events_route: Route, message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insert, "MOST_REFUSED", 4)
    landing.refuse = lambda _: True
    with pytest.raises(StoreError, match="does the table fit the schema"):
        insert_block(landing, events_route, one_block([message(at) for at in range(16)]))


def test_away_is_not_refused(landing: Any, events_route: Route, message: Make) -> None:
    landing.away = 1
    with pytest.raises(StoreAway):
        insert_block(landing, events_route, one_block([message(0)]))
    assert landing.rows == []
