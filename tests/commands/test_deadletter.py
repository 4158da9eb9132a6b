"""Dead letters on the real stack: sent back once their reason is gone, and a topic that is held and read on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer

from runwatch.clickhouse import StoreError, connect
from runwatch.config import Settings
from runwatch.deadletters import guard as guard_module
from runwatch.deadletters.limit import Limit
from runwatch.schemas import topics
from runwatch.schemas.avro import load
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.wire import encode
from runwatch.sinks.app import run_sink
from runwatch.sinks.stats import Stats

pytestmark = pytest.mark.stack
EVENT = load("agent_event")
SOON_S = 60.0
Call = Callable[..., Any]


def message(seq: int, run_id: str = "r1") -> bytes:
    event = AgentEvent(f"{run_id}-{seq}", run_id, seq, "tool_result", 1_760_000_000_000 + seq, "support", tool="t")
    return encode(event.to_record(), EVENT, EVENT.schema_id)


@pytest.fixture
def fleet(stack: Any) -> Iterator[Settings]:
    settings = stack.unique()
    topics.ensure_topics(settings.kafka, settings.prefix, partitions=2)
    yield settings
    connect(settings).command(f"DROP DATABASE IF EXISTS {settings.database}")


@contextmanager
def sink(settings: Settings, limit: Limit | None = None) -> Iterator[Stats]:
    stats, stop = Stats(), threading.Event()
    thread = threading.Thread(target=run_sink, args=(settings, stop), kwargs={"stats": stats, "limit": limit})
    thread.start()
    try:
        yield stats
    finally:
        stop.set()
        thread.join(SOON_S)
        assert not thread.is_alive()


def produce(settings: Settings, topic: str, values: list[bytes], partition: int = 0, headers: Any = None) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka})
    for value in values:
        producer.produce(settings.topic(topic), value, b"k", partition=partition, headers=headers)
    assert producer.flush(30) == 0


def ask(settings: Settings, query: str) -> list[Any]:
    client = connect(settings)
    client.database = settings.database
    try:
        return [tuple(row) for row in client.query(query).result_rows]
    except StoreError:
        return []
    except Exception:  # the tables are being made
        return []


def until(truth: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SOON_S
    while not truth():
        assert time.monotonic() < end, f"not within {SOON_S:.0f} s: {what}"
        time.sleep(0.1)


def letter_of(settings: Settings, offset: int) -> list[tuple[str, bytes]]:
    topic = settings.topic("events").encode()
    origin = [("topic", topic), ("partition", b"1"), ("offset", str(offset).encode())]
    return [("reason", b"schema"), ("detail", b"schema id 7 is not one of runwatch's"), *origin]


def test_letters_go_back_once_and_come_out_once(fleet: Settings, stack: Any, cli: Call) -> None:
    environ = {name: value for name, value in stack.environ(fleet).items() if name.startswith("RUNWATCH_")}

    def said(*arguments: str) -> Any:
        return cli("deadletter", *arguments, **environ)

    def rows(*arguments: str) -> Any:
        return json.loads(said(*arguments, "--format", "json").out)

    # As the sink writes them: two that an older version could not read, and two that nobody can.
    produce(fleet, "deadletter", [message(7)], headers=letter_of(fleet, 1000))
    produce(fleet, "deadletter", [message(8)], headers=letter_of(fleet, 1001))
    cut = [*letter_of(fleet, 1002), ("cut_from_bytes", b"900000")]
    produce(fleet, "deadletter", [message(9)], headers=cut)
    produce(fleet, "events", [b"\x09\x1b[31m"])
    events = fleet.topic("events")
    with sink(fleet):
        until(lambda: ask(fleet, "SELECT count() FROM dead_letters") == [(4,)], "four letters as rows")
        assert {f"{events}/1/{at}" for at in (1000, 1001, 1002)} | {f"{events}/0/0"} == {
            row["letter"] for row in rows("list")
        }
        assert [f"{events}/0/0"] == [row["letter"] for row in rows("list", "--reason", "magic")]
        assert "4 dead letters: " in said("list").err
        shown = rows("show", f"{events}/1/1000")[0]
        assert ("r1", 7, True) == (shown["record"]["run_id"], shown["record"]["seq"], shown["can_be_sent_back"])
        junk = said("show", f"{events}/0/0").out
        assert "00000000  09 1b 5b 33 31 6d" in junk
        assert "It cannot be sent back: magic: the message begins with byte 9" in junk

        dry = said("retry", "--all", "--dry-run")
        assert (1, True) == (dry.code, "would be sent" in dry.out)
        done = said("retry", "--all", "--format", "json")
        assert 1 == done.code
        assert {
            ("sent", 2, ""),
            ("stays", 1, "only the beginning of its 900,000 bytes was kept"),
            ("stays", 1, "magic: the message begins with byte 9, not 0: it is not Confluent-framed Avro"),
        } == {(row["outcome"], row["letters"], row["why"]) for row in json.loads(done.out)}
        until(lambda: ask(fleet, "SELECT run_id, seq FROM events ORDER BY seq") == [("r1", 7), ("r1", 8)], "the events")
        retried = "SELECT offset FROM dead_letters WHERE retried_at IS NOT NULL ORDER BY offset"
        until(lambda: ask(fleet, retried) == [(1000,), (1001,)], "the letters' notes")
        assert 2 == len(rows("list"))
        assert 4 == len(rows("list", "--all"))

        # Once more, as after a crash between the sending and the note: it is stored once all the same.
        again = said("retry", f"{events}/1/1000")
        assert 0 == again.code
        until(lambda: ask(fleet, "SELECT count() FROM events_stored") == [(3,)], "the event's second copy")
        assert [("r1", 7), ("r1", 8)] == ask(fleet, "SELECT run_id, seq FROM events ORDER BY seq")
        places = "SELECT DISTINCT kafka_partition FROM events_stored"
        assert [(1,)] == ask(fleet, places)
        assert said("retry").code == 2
        assert said("retry", "nonsense").code == 2
        assert said("show", f"{events}/0/77").code == 1


def test_a_held_topic_keeps_its_place_over_a_restart_and_is_read_on_when_told(
    fleet: Settings, stack: Any, cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "RETRY_S", 3.0)
    environ = {name: value for name, value in stack.environ(fleet).items() if name.startswith("RUNWATCH_")}
    limit = Limit(in_a_row=50)
    stored = "SELECT count() FROM events"
    buried = "SELECT count() FROM dead_letters"
    produce(fleet, "events", [message(at) for at in range(10)])
    produce(fleet, "events", [b"junk!"] * 60)
    produce(fleet, "events", [message(at) for at in range(10, 20)])
    events = fleet.topic("events")
    with sink(fleet, limit) as stats:
        until(lambda: stats.held.get(events, False), "the topic is held")
        # The other topics are read on.
        produce(fleet, "deadletter", [message(7)], headers=letter_of(fleet, 1000))
        until(lambda: ask(fleet, buried) == [(1,)], "another topic's rows")
    with sink(fleet, limit) as stats:
        until(lambda: stats.held.get(events, False), "it is held after a restart too")
        time.sleep(4)  # it is tried again meanwhile
        assert [(1,)] == ask(fleet, buried)
        held = cli("deadletter", "resume", "--why", "a load test wrote garbage", **environ)
        assert (0, f"sink: {events} is read on.\n") == (held.code, held.out)
        until(lambda: ask(fleet, buried) == [(61,)], "the garbage in the dead letters")
        until(lambda: ask(fleet, stored) == [(20,)], "what came after it")
        until(lambda: not stats.held[events], "it is read on")
        # What comes from now on is judged again.
        produce(fleet, "events", [b"junk!"] * 60)
        until(lambda: stats.held[events], "it is held again")
        assert [(61,)] == ask(fleet, buried)
    assert "No such topic is held." in cli("deadletter", "resume", "--why", "x", "--part", "processors", **environ).err
