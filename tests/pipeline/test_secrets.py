"""10,000 payloads with secrets in them, through the SDK with snapshots on, and none in any topic, table or log.

What is looked through: every message of every topic, every row of every table, what the SDK and the sink logged, the
servers' own logs, and what the snapshots hold once they are opened.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
from confluent_kafka import Consumer, TopicPartition

import runwatch
from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.schemas import avro, topics, wire
from runwatch.schemas.canonical import sha
from runwatch.schemas.sealing import Opener, make_pair
from runwatch.sinks.app import run_sink

from ..planted import EVERY, Planted, Planter

pytestmark = pytest.mark.stack

PAYLOADS = 10_000
CALLS_A_RUN = 100
PUBLIC, PRIVATE = make_pair()
LEAST = 8
"""Shorter texts are found by chance."""


@dataclass
class World:
    """What was sent, and where it is."""

    settings: Settings
    planted: list[Planted]
    home: Any
    run_id: str = ""
    logged: list[str] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Listening(logging.Handler):
    """Everything that is logged, at any level."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@pytest.fixture(scope="module")
def world(stack: Any) -> Iterator[World]:
    its = stack.unique()
    topics.ensure_topics(its.kafka, its.prefix, partitions=2)
    planter = Planter(20261123)
    planted = [planter.planted(*EVERY[at % len(EVERY)]) for at in range(PAYLOADS)]
    made = World(its, planted, stack.home)
    listening = Listening(made.logged)
    root = logging.getLogger()
    root.addHandler(listening)
    level = root.level
    root.setLevel(logging.DEBUG)
    stop = threading.Event()
    sink = threading.Thread(target=run_sink, args=(its, stop))
    sink.start()
    began = time.monotonic()
    try:
        send(made)
        until_stored(made)
        made.seconds = time.monotonic() - began
    finally:
        stop.set()
        sink.join(60)
        root.setLevel(level)
        root.removeHandler(listening)
    yield made
    connect(its).command(f"DROP DATABASE IF EXISTS {its.database}")


def send(world: World) -> None:
    """Two payloads a call, as arguments and as what came back, or was raised; prompts and labels' values too."""
    its = world.settings
    watch = runwatch.connect(
        "careless", kafka=its.kafka, prefix=its.prefix, snapshots={"seal_for": PUBLIC, "most_waiting_bytes": 64 << 20}
    )
    pairs = list(zip(world.planted[::2], world.planted[1::2], strict=True))
    for first in range(0, len(pairs), CALLS_A_RUN):
        with watch.run(prompt=pairs[first][0].secret.text, tools=[{"about": pairs[first][1].secret.text}]) as run:
            world.run_id = run.run_id
            for at, (args, result) in enumerate(pairs[first : first + CALLS_A_RUN]):
                if at % 20 == 19:
                    call_and_fail(run, args, result)
                else:
                    run.call_tool("careless", [args.payload], lambda _, what=result.payload: what)
        # Redaction goes on in the background; an agent that is faster for long would have some dropped.
        while watch.snapshot_stats()["queued"] > 1_000:
            time.sleep(0.01)
    assert watch.flush(120.0)
    world.stats = watch.snapshot_stats()
    assert watch.close(30.0)


def call_and_fail(run: Any, args: Planted, result: Planted) -> None:
    """A call whose exception tells what it should not; and one of an object whose own methods do."""

    def raises(_: Any) -> None:
        raise ConnectionError(f"cannot send {result.secret.text}")

    with pytest.raises(ConnectionError):
        run.call_tool("careless", [args.payload], raises)

    class Broken:
        def model_dump(self) -> Any:
            raise ValueError(result.secret.text)

        @property
        def status_code(self) -> int:
            raise ValueError(result.secret.text)

    run.call_tool("careless", [Broken()], lambda it: it)
    run.record_tool("careless", {"asked": [args.payload]}, result.payload)


def until_stored(world: World) -> None:
    client = connect(world.settings)
    client.database = world.settings.database
    end = time.monotonic() + 60
    ends = {name: ends_of(world.settings, name) for name in ("events", "snapshots")}
    while True:
        counts = [
            client.query(f"SELECT count() FROM {table}").result_rows[0][0] if exists(client, table) else 0
            for table in ("events_stored", "snapshots_stored")
        ]
        if counts[0] >= sum(ends["events"].values()) and counts[1] >= sum(ends["snapshots"].values()):
            break
        assert time.monotonic() < end, f"not stored within 60 s: {counts}, {ends}"
        time.sleep(0.1)
    client.close()


def exists(client: Any, table: str) -> bool:
    return bool(client.query(f"EXISTS TABLE {table}").result_rows[0][0])


def ends_of(its: Settings, topic: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": its.kafka, "group.id": "ends", "log_level": 0})
    try:
        name = its.topic(topic)
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        return {one: consumer.get_watermark_offsets(TopicPartition(name, one), timeout=10)[1] for one in partitions}
    finally:
        consumer.close()


def messages(its: Settings, topic: str) -> list[bytes]:
    """Key and value of every message of a topic."""
    ends = {one: end for one, end in ends_of(its, topic).items() if end}
    consumer = Consumer(
        {"bootstrap.servers": its.kafka, "group.id": "scan", "log_level": 0, "enable.auto.commit": False}
    )
    out: list[bytes] = []
    try:
        consumer.assign([TopicPartition(its.topic(topic), one, 0) for one in ends])
        deadline = time.monotonic() + 60
        while ends:
            assert time.monotonic() < deadline, f"{topic} was not read to its end"
            for message in consumer.consume(5_000, timeout=1.0):
                assert message.error() is None
                out += [message.key() or b"", message.value() or b""]
                out += [value or b"" for _, value in message.headers() or ()]
                if message.offset() + 1 >= ends.get(message.partition(), 0):
                    ends.pop(message.partition(), None)
    finally:
        consumer.close()
    return out


class Looking:
    """Looks for many texts at once: by their first eight bytes, and then whole."""

    def __init__(self, needles: Sequence[bytes]) -> None:
        self._by_head: dict[int, list[bytes]] = {}
        for needle in set(needles):
            if len(needle) >= LEAST:
                self._by_head.setdefault(int.from_bytes(needle[:LEAST], "little"), []).append(needle)
        self._heads = numpy.array(sorted(self._by_head), dtype="<u8")
        # By three bytes of it nearly every place is passed over.
        self._maybe = numpy.zeros(1 << 24, dtype=bool)
        self._maybe[self._heads & 0xFFFFFF] = True
        self.count = sum(map(len, self._by_head.values()))

    def __call__(self, data: bytes) -> list[bytes]:
        out = []
        for shift in range(LEAST):
            if len(data) < shift + LEAST:
                break
            words = numpy.frombuffer(data, "<u8", (len(data) - shift) // LEAST, shift)
            maybe = numpy.flatnonzero(self._maybe[words & 0xFFFFFF])
            for place in maybe[numpy.isin(words[maybe], self._heads)]:
                at = int(place) * LEAST + shift
                head = int.from_bytes(data[at : at + LEAST], "little")
                out += [needle for needle in self._by_head[head] if data.startswith(needle, at)]
        return out


@pytest.fixture(scope="module")
def look(world: World) -> Looking:
    needles = {needle for one in world.planted for needle in one.needles}
    escaped = {json.dumps(needle.decode())[1:-1].encode() for needle in needles}
    return Looking(sorted(needles | escaped))


def test_the_search_finds_what_is_there(world: World, look: Looking) -> None:
    assert look.count > PAYLOADS
    for one in world.planted[:100]:
        needle = max(one.needles, key=len)
        assert needle in look(b"\x00some" + needle + b"\xffmore bytes after it")
    raw = json.dumps([repr(one.payload) for one in world.planted[:500]]).encode()
    assert len(look(raw)) > 400


def test_every_payload_was_kept(world: World) -> None:
    assert (0, 0) == (world.stats["dropped"], world.stats["failed"])
    assert world.stats["delivered"] > 0.9 * PAYLOADS
    assert world.seconds < 120


@pytest.mark.parametrize("topic", [topic.name for topic in topics.ALL])
def test_none_is_in_a_topic(world: World, look: Looking, topic: str) -> None:
    found = messages(world.settings, topic)
    if topic in ("events", "snapshots"):
        assert len(found) > PAYLOADS
    assert [] == look(b"\x00".join(found))


def test_none_is_in_a_table(world: World, look: Looking) -> None:
    client = connect(world.settings)
    client.database = world.settings.database
    asked = client.query("SELECT name, engine FROM system.tables WHERE database = currentDatabase()")
    tables = dict(asked.result_rows)
    assert {"events", "events_stored", "snapshots", "snapshots_stored", "runs"} <= set(tables)
    for table, engine in tables.items():
        # Null tables, which are inserted into, have nothing to be read.
        if engine in ("Null", "MaterializedView"):
            continue
        for form in ("RowBinary", "JSONEachRow"):
            data = client.raw_query(f"SELECT * FROM {table}", fmt=form)
            assert [] == look(data), table
    client.close()


def test_none_is_in_a_log(world: World, look: Looking) -> None:
    assert [] == look("\n".join(world.logged).encode())
    for log in sorted(world.home.glob("logs/*")):
        assert [] == look(log.read_bytes()), log.name


def test_none_is_in_a_snapshot_that_was_opened(world: World, look: Looking) -> None:
    schema, opener = avro.load("snapshot"), Opener(PRIVATE)
    texts = []
    kinds: dict[str, int] = {}
    values = messages(world.settings, "snapshots")[1::2]
    for value in values:
        record = wire.decode_body(wire.split(value)[1], schema)
        texts.append(opener.open(record["sha"], record["sealed"]))
        for kind, count in zip(record["redactions"], record["redaction_counts"], strict=True):
            kinds[kind] = kinds.get(kind, 0) + count
    assert [] == look("\n".join(texts).encode())
    # Each of the kinds was met, and told by its mark.
    assert {one.secret.kind for one in world.planted} <= kinds.keys()
    assert sum(kinds.values()) > 0.9 * PAYLOADS


def test_the_run_is_replayed_from_what_is_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWATCH_SNAPSHOT_TOKEN", PRIVATE)
    replay = runwatch.replay(world.run_id, settings=world.settings)
    parts = replay.record.parts()
    assert (0, 0) == (parts["args_unknown"], parts["missing_events"])
    assert parts["args_redacted"] > 50
    args = world.planted[-2 * CALLS_A_RUN].payload
    assert replay.call_tool("careless", [args]) is not None
    assert replay.divergence is None
    monkeypatch.delenv("RUNWATCH_SNAPSHOT_TOKEN")
    sealed = runwatch.replay(world.run_id, settings=world.settings)
    assert sealed.record.parts()["sealed"] > 100
    answer = sealed.call_tool("careless", [args])
    assert sha(answer) == sealed.record.calls[0].result_sha
