"""A batch's way into the tables, with ClickHouse and Kafka that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.deadletters.guard import Guard
from runwatch.deadletters.limit import Limit
from runwatch.schemas.registry import LocalRegistry
from runwatch.sinks import writer as writer_module
from runwatch.sinks.batch import Bad, Batch
from runwatch.sinks.resume import Stretches
from runwatch.sinks.routes import Route
from runwatch.sinks.stats import Stats
from runwatch.sinks.writer import Stopped, Writer, judged

from ..fakes import NoWords

LETTERS = Route("agent.deadletter", "dead_letters_in", "dead_letters_stored", "DeadLetter", letters=True)
Make = Callable[..., Any]


def writer(
    world: Any,
    *routes: Route,
    stats: Stats | None = None,
    closing: threading.Event | None = None,
    guard: Guard | None = None,
) -> Writer:
    return Writer(
        world,
        {route.topic: route for route in routes},
        LocalRegistry(),
        stats or Stats(),
        closing or threading.Event(),
        guard or Guard("sink", Limit(), NoWords()),
    )


def batch(*messages: Any) -> Batch:
    made = Batch()
    made.add(messages, now=0.0)
    return made


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FIRST_PAUSE_S", 0.001)


def test_everything_is_stored_with_its_place(world: Any, events_route: Route, message: Make) -> None:
    stats = Stats()
    ends = writer(world, events_route, stats=stats).store(batch(message(5), message(6), message(0, partition=3)))
    assert {("agent.events", 0): 7, ("agent.events", 3): 1} == ends
    assert [(0, 5), (0, 6), (3, 0)] == [(row["kafka_partition"], row["kafka_offset"]) for row in world.ground.rows]
    assert {4_000_000_000} == {row["kafka_source"] for row in world.ground.rows}
    assert {"agent.events": 3} == stats.stored


def test_what_is_stored_already_is_skipped_and_asked_once(world: Any, events_route: Route, message: Make) -> None:
    world.already[0] = Stretches([(5, 6), (8, 8)])
    stats = Stats()
    one = writer(world, events_route, stats=stats)
    one.store(batch(*(message(at) for at in (5, 6, 7))))
    one.store(batch(*(message(at) for at in (8, 9))))
    assert [7, 9] == world.ground.offsets()
    assert [("events_stored", 4_000_000_000, 0, 5)] == world.asked
    assert stats.skipped == 3


def test_a_new_assignment_asks_anew(world: Any, events_route: Route, message: Make) -> None:
    one = writer(world, events_route)
    one.store(batch(message(5)))
    one.assigned([("agent.events", 0)])
    world.already[0] = Stretches([(5, 9)])
    one.store(batch(message(9), message(10)))
    assert [5, 10] == world.ground.offsets()
    assert [5, 9] == [first for *_, first in world.asked]


def test_the_bad_go_to_the_dead_letters_and_the_rest_goes_on(world: Any, events_route: Route, message: Make) -> None:
    stats = Stats()
    truncated = message(2, value=message(2).value()[:20])
    ends = writer(world, events_route, stats=stats).store(
        batch(message(0), message(1, value=b"\x09junk!"), truncated, message(3, value=None), message(4))
    )
    assert {("agent.events", 0): 5} == ends
    assert [0, 4] == world.ground.offsets()
    assert {1: "magic", 2: "avro", 3: "empty"} == {bad.message.offset(): bad.reason for bad in world.dead}
    assert {"magic": 1, "avro": 1, "empty": 1} == stats.dead_letters


def test_after_a_refused_block_the_next_is_looked_at_before_it_is_sent(
    world: Any, events_route: Route, message: Make
) -> None:
    one = writer(world, events_route)

    def inserts(first: int, *, truncated: bool) -> int:
        before = world.ground.inserts
        cut = message(first + 1, value=message(first + 1).value()[:20]) if truncated else message(first + 1)
        one.store(batch(message(first), cut))
        return int(world.ground.inserts - before)

    # Refused and sent again; sent once without the bad; looked at, and good; not looked at.
    assert [2, 1, 1, 1] == [inserts(2 * at, truncated=at < 2) for at in range(4)]
    assert [1, 3] == [bad.message.offset() for bad in world.dead]
    assert [0, 2, 4, 5, 6, 7] == world.ground.offsets()


def test_clickhouse_away_is_waited_for(world: Any, events_route: Route, message: Make) -> None:
    world.ground.away = 3
    one = writer(world, events_route)
    one.store(batch(message(0)))
    assert [0] == world.ground.offsets()
    assert world.disconnects == 3
    assert not one.in_trouble


def test_a_sink_that_stops_does_not_wait_for_ever(world: Any, events_route: Route, message: Make) -> None:
    world.ground.away = 1_000_000
    closing = threading.Event()
    closing.set()
    with pytest.raises(Stopped):
        writer(world, events_route, closing=closing).store(batch(message(0)))
    assert world.ground.rows == []


def test_dead_letters_are_rows_and_never_dead_letters_again(world: Any, message: Make) -> None:
    world.ground.refuse = lambda row: row["kafka_offset"] == 1
    stats = Stats()
    ends = writer(world, LETTERS, stats=stats).store(
        batch(*(message(at, value=b"\xff", of_topic="agent.deadletter") for at in range(3)))
    )
    assert {("agent.deadletter", 0): 3} == ends
    assert [0, 2] == world.ground.offsets()
    assert world.dead == []
    assert {"refused": 1} == stats.dead_letters


@given(
    st.lists(st.sampled_from(["good", "junk", "cut"]), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.lists(st.integers(1, 39), max_size=5),
)
def test_any_split_into_batches_accounts_for_every_message_once(
    new_world: Make, events_route: Route, message: Make, kinds: list[str], already: set[int], cuts: list[int]
) -> None:
    def made(at: int, kind: str) -> Any:
        good = message(at)
        value = {"good": good.value(), "junk": b"\x01\x02", "cut": good.value()[:-3]}[kind]
        return message(at, value=value)

    messages = [made(at, kind) for at, kind in enumerate(kinds)]
    world = new_world()
    world.already[0] = Stretches((at, at) for at in sorted(already))
    one = writer(world, events_route)
    edges = [0, *sorted({cut for cut in cuts if cut < len(messages)}), len(messages)]
    for first, end in pairwise(edges):
        if first < end:
            one.store(batch(*messages[first:end]))
    left = [at for at in range(len(kinds)) if at not in already]
    assert [at for at in left if kinds[at] == "good"] == world.ground.offsets()
    assert [at for at in left if kinds[at] != "good"] == sorted(bad.message.offset() for bad in world.dead)


def test_a_topic_of_which_nearly_nothing_can_be_read_is_held_and_nothing_of_it_buried(
    world: Any, events_route: Route, message: Make
) -> None:
    words = NoWords()
    guard = Guard("sink", Limit(in_a_row=3), words)
    one = writer(world, events_route, LETTERS, guard=guard)
    junk = [message(at, value=b"\x09junk!") for at in range(1, 4)]
    other = message(7, value=b"\xff", of_topic="agent.deadletter")
    assert {("agent.deadletter", 0): 8} == one.store(batch(message(0), *junk, other))
    assert [] == world.dead
    assert [("agent.events", "held")] == words.said
    assert guard.is_held("agent.events")
    assert {} == one.store(batch(message(4)))  # what comes after it is not touched
    assert [0, 7] == sorted(world.ground.offsets())


def test_a_held_topic_that_is_read_again_and_can_be_is_stored_and_read_on(
    world: Any, events_route: Route, message: Make
) -> None:
    guard = Guard("sink", Limit(in_a_row=3), NoWords())
    one = writer(world, events_route, guard=guard)
    one.store(batch(*(message(at, value=b"\x09junk!") for at in range(3))))
    guard.try_again("agent.events")
    assert {("agent.events", 0): 3} == one.store(batch(*(message(at) for at in range(3))))
    assert [0, 1, 2] == world.ground.offsets()
    assert [] == guard.troubled


def test_what_is_judged_are_places_of_all_partitions_one_after_the_other(message: Make) -> None:
    parts = [
        (0, [message(at, log_ms=at) for at in (5, 6, 9)]),
        (1, [message(at, partition=1, log_ms=at) for at in (2, 7)]),
    ]
    bad = [Bad(parts[1][1][1], "magic", ""), Bad(parts[0][1][1], "magic", "")]
    assert (5, [1, 4]) == judged(parts, bad, 0)
    assert (2, [1]) == judged(parts, bad, 6)
    assert (0, []) == judged(parts, bad, 9)
