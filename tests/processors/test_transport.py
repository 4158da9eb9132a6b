"""What the frame transport relies on inside Faust and aiokafka, and the frames that it makes."""

from __future__ import annotations

import asyncio
import inspect
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.config import Settings
from runwatch.processors.app import build_app
from runwatch.processors.frames import Frame
from runwatch.processors.replay import Horizon, Start
from runwatch.processors.rules import Rules
from runwatch.processors.transport import (
    CROWDED_S,
    FETCH_WAIT_MS,
    LIGHT,
    REST,
    REST_MOST_S,
    FrameApp,
    FrameConsumer,
    FrameSchema,
    LeanThread,
    fetch_when_asked,
    take_all,
)
from runwatch.settings.policy import Policy

from .support import FOLDER, T0

TOPIC = TP("agent.events", 0)
STRETCH = 300_000


@dataclass(frozen=True)
class Record:
    """What aiokafka's parser gives of a message, as far as a frame needs it."""

    offset: int
    timestamp: int = T0
    value: bytes | None = b"v"
    key: bytes | None = None


def records(*offsets: int, timestamp: int = T0) -> list[Record]:
    return [Record(offset, timestamp, b"v%d" % offset) for offset in offsets]


async def _unused(*_: Any) -> None:
    """A callback that Faust wants and a test does not."""


def in_loop(test: Callable[[FrameConsumer], Any]) -> Any:
    """Runs a test with a consumer that was made, but not started, and has no broker."""

    async def run() -> Any:
        app = FrameApp("test", broker="kafka://127.0.0.1:1", web_enabled=False, stream_wait_empty=False)
        app.horizons = {TOPIC.topic: Horizon(STRETCH)}
        app.topics.acks_enabled_for = lambda _topic: True
        consumer = app.transport.create_consumer(
            callback=_unused, on_partitions_revoked=_unused, on_partitions_assigned=_unused
        )
        assert isinstance(consumer, FrameConsumer)
        consumer.highwater = lambda _tp: 0
        consumer.flow_active = True
        result = test(consumer)
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(run())


def feed(consumer: FrameConsumer, *fetches: dict[TP, list[Record]], active: set[TP] | None = None) -> None:
    """Lets the consumer's fetches bring these, and then nothing."""
    queue = [*fetches]

    async def wait_next_records(_timeout: float) -> tuple[dict[TP, list[Record]] | None, set[TP] | None]:
        return (queue.pop(0), active) if queue else (None, None)

    consumer._wait_next_records = wait_next_records


async def got(consumer: FrameConsumer) -> list[Any]:
    return [message async for _, message in consumer.getmany(timeout=1.0)]


# -- the versions --------------------------------------------------------------------------------


def test_faust_is_the_one_that_was_read(root: Path) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (pin,) = (one for one in extras["processors"] if one.startswith("faust-streaming"))
    assert f"faust-streaming=={version('faust-streaming')}" == pin


def test_the_consumer_and_its_thread_are_ours() -> None:
    in_loop(lambda consumer: _assert_ours(consumer))


def _assert_ours(consumer: FrameConsumer) -> None:
    assert LeanThread is type(consumer._thread)
    assert issubclass(FrameConsumer, Consumer)
    assert issubclass(LeanThread, AIOKafkaConsumerThread)


# -- getmany and _drain_messages -----------------------------------------------------------------


def test_draining_hands_on_every_frame_and_sees_no_gap_between_them() -> None:
    async def drain(consumer: FrameConsumer) -> None:
        handed: list[Frame] = []

        async def callback(message: Any) -> None:
            handed.append(message.value)
            if len(handed) == 3:
                consumer._stopped.set()

        consumer.callback = callback
        feed(consumer, {TOPIC: records(*range(10, 500))}, {TOPIC: records(500)}, {TOPIC: records(*range(501, 900))})
        await consumer._drain_messages(consumer)
        assert [499, 500, 899] == [one.next_offset - 1 for one in handed]
        assert not any(consumer._gap.values())
        assert 899 == consumer._read_offset[TOPIC]

    in_loop(drain)


def test_draining_compares_offsets_as_getmany_counts_on() -> None:
    source = inspect.getsource(Consumer._drain_messages)
    assert "async for tp, message in ait:" in source
    assert "if r_offset is None or offset >= r_offset:" in source
    assert "gap = offset - (r_offset or 0)" in source
    assert inspect.isasyncgenfunction(Consumer.getmany)
    assert inspect.isasyncgenfunction(FrameConsumer.getmany)


def test_waiting_for_records_gives_records_by_partition_and_the_active_ones() -> None:
    async def wait(consumer: FrameConsumer) -> None:
        async def fetched(active_partitions: set[TP], timeout: float) -> dict[TP, list[Record]]:
            return {one: records(1) for one in active_partitions}

        consumer._getmany = fetched
        consumer._set_active_tps({TOPIC})
        assert ({TOPIC: records(1)}, {TOPIC}) == await consumer._wait_next_records(1.0)

    in_loop(wait)


def test_one_message_a_frame() -> None:
    async def get(consumer: FrameConsumer) -> None:
        other = TP("agent.windows", 1)
        feed(consumer, {TOPIC: records(7, 8, 9), other: records(3)}, active={TOPIC, other})
        one, two = await got(consumer)
        assert (TOPIC, 9, T0 / 1000) == (one.tp, one.offset, one.timestamp)
        assert [b"v7", b"v8", b"v9"] == one.value.values
        assert (other, 3) == (two.tp, two.offset)

    in_loop(get)


def test_a_partition_that_was_paused_is_left_out() -> None:
    async def get(consumer: FrameConsumer) -> None:
        other = TP("agent.windows", 1)
        feed(consumer, {TOPIC: records(7)}, {TOPIC: records(8)}, active={other})
        consumer._active_partitions = {other}
        assert [] == await got(consumer)
        # What was fetched before its queue ran full is taken all the same.
        consumer._buffered_partitions.add(TOPIC)
        assert [8] == [message.offset for message in await got(consumer)]

    in_loop(get)


def test_while_a_queue_is_full_nothing_is_waited_for_long() -> None:
    async def get(consumer: FrameConsumer) -> None:
        waited: list[float] = []
        other = TP("agent.windows", 1)
        feed(consumer, {}, {}, active={TOPIC, other})
        next_records = consumer._wait_next_records

        async def noted(timeout: float) -> Any:
            waited.append(timeout)
            return await next_records(timeout)

        consumer._wait_next_records = noted
        await got(consumer)
        consumer._buffered_partitions.add(TOPIC)
        consumer._active_partitions = {other}
        await got(consumer)
        # And where all are full, Faust would rest for a second.
        consumer._active_partitions = set()
        assert [] == await got(consumer)
        assert [1.0, CROWDED_S] == waited

    in_loop(get)


def test_a_fetch_that_a_rebalance_overtook_is_forgotten_and_sought_again() -> None:
    async def get(consumer: FrameConsumer) -> None:
        sought = []

        async def perform_seek() -> None:
            sought.append(True)

        consumer.perform_seek = perform_seek
        consumer.flow_active = False
        feed(consumer, {TOPIC: records(7)}, {TOPIC: records(7)})
        assert [] == await got(consumer)
        assert [True] == sought

        async def refused() -> None:
            raise RuntimeError("no longer assigned")

        # The rebalance itself seeks again.
        consumer.perform_seek = refused
        assert [] == await got(consumer)

    in_loop(get)


def test_a_rebalance_between_frames_ends_the_batch() -> None:
    async def get(consumer: FrameConsumer) -> None:
        feed(consumer, {TOPIC: [*records(1), *records(2, timestamp=T0 + STRETCH)]})
        messages = []
        async for _, message in consumer.getmany(1.0):
            messages.append(message.offset)
            consumer.app.consumer_generation_id += 1
        assert [1] == messages

    in_loop(get)


def test_the_lag_is_what_is_behind_the_last_that_was_read_and_0_of_what_is_not_known() -> None:
    fresh, read, ahead, unknown, leaving = (TP("agent.events", number) for number in range(5))

    def ends(tp: TP) -> int | None:
        assert tp != leaving, "Partition is not assigned"
        return {fresh: 10, read: 10, ahead: 3, unknown: None}[tp]

    def lags(consumer: FrameConsumer) -> dict[TP, int]:
        consumer.assignment = lambda: {fresh, read, ahead, unknown, leaving}
        consumer.highwater = ends
        consumer._committed_offset = {fresh: 7}
        consumer._read_offset = {fresh: None, read: 8, ahead: 4}
        return consumer.lags()

    assert {fresh: 3, read: 1, ahead: 0} == in_loop(lags)


def test_before_the_consumer_is_there_is_no_lag() -> None:
    assert {} == in_loop(lambda consumer: consumer.lags())


# -- frames --------------------------------------------------------------------------------------


def frames(batch: list[Record], live_from: int = 0, highwater: int | None = 0, horizon: bool = True) -> list[Frame]:
    def make(consumer: FrameConsumer) -> list[Frame]:
        consumer._live_from[TOPIC] = live_from
        consumer._epochs[TOPIC] = 3
        consumer.highwater = lambda _tp: highwater
        if not horizon:
            consumer.app.horizons = {}
        return consumer._frames(TOPIC, batch)

    return in_loop(make)


def test_a_batch_is_a_frame() -> None:
    (one,) = frames(records(4, 5, 6), highwater=10)
    assert (TOPIC.topic, 0, [b"v4", b"v5", b"v6"]) == (one.topic, one.partition, one.values)
    assert (range(4, 7), T0, False, 3, 3, 7) == (
        one.offsets,
        one.log_ms,
        one.replay,
        one.behind,
        one.epoch,
        one.next_offset,
    )


def test_offsets_with_gaps_are_kept() -> None:
    (one,) = frames(records(4, 9, 10))
    assert ([4, 9, 10], 11) == (one.offsets, one.next_offset)


def test_a_batch_is_cut_at_the_committed_offset() -> None:
    found = frames(records(4, 5, 6, 7), live_from=6)
    assert [(range(4, 6), True), (range(6, 8), False)] == [(one.offsets, one.replay) for one in found]
    # The committed message itself may be gone.
    assert [True, False] == [one.replay for one in frames(records(4, 8), live_from=6)]
    assert [True] == [one.replay for one in frames(records(4, 5), live_from=6)]
    assert [False] == [one.replay for one in frames(records(6), live_from=6)]


def test_a_batch_is_cut_at_stretches_of_log_time() -> None:
    batch = [Record(at, T0 + ms) for at, ms in enumerate((0, 299_999, 300_000, 900_000, 900_001))]
    assert [range(2), range(2, 3), range(3, 5)] == [one.offsets for one in frames(batch)]
    assert [range(5)] == [one.offsets for one in frames(batch, horizon=False)]


def test_how_far_a_frame_lies_behind_is_told_where_it_is_known() -> None:
    assert [0] == [one.behind for one in frames(records(4), highwater=5)]
    assert [0] == [one.behind for one in frames(records(4), highwater=None)]
    assert [5, 4] == [one.behind for one in frames(records(4, 5), live_from=5, highwater=10)]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 400_000)), min_size=1, max_size=20),
    st.integers(0, 40),
)
def test_frames_hold_every_record_once_and_none_spans_a_boundary(steps: list[tuple[int, int]], live_from: int) -> None:
    offset, ms, batch = 0, T0, []
    for gap, later in steps:
        offset, ms = offset + gap, ms + later
        batch.append(Record(offset, ms, b"%d" % offset))
    found = frames(batch, live_from)
    assert [one.offset for one in batch] == [offset for one in found for offset in one.offsets]
    assert [one.value for one in batch] == [value for one in found for value in one.values]
    times = {one.offset: one.timestamp for one in batch}
    for one in found:
        assert {one.replay} == {offset < live_from for offset in one.offsets}
        assert 1 == len({times[offset] // STRETCH for offset in one.offsets})
        assert times[one.offsets[-1]] == one.log_ms


def test_the_schema_hands_frames_through() -> None:
    schema, message = FrameSchema(), SimpleNamespace(key=None, value=object())
    assert message.value is schema.loads_value(None, message)
    assert schema.loads_key(None, message) is None


# -- acks and commits ----------------------------------------------------------------------------


def frame_messages(consumer: FrameConsumer, *ends: tuple[int, int]) -> list[Any]:
    return [
        consumer._frame_message(TOPIC, Frame(TOPIC.topic, 0, [b"v"] * (end - start), range(start, end), T0))
        for start, end in ends
    ]


def test_what_is_committed_is_the_end_of_the_last_acked_frame() -> None:
    async def commit(consumer: FrameConsumer) -> None:
        committed: list[dict[TP, int]] = []

        async def keep(offsets: dict[TP, int]) -> bool:
            committed.append(dict(offsets))
            return True

        async def nothing() -> None:
            pass

        consumer._commit = keep
        consumer.assignment = lambda: {TOPIC}
        consumer.app.producer.flush = nothing
        consumer._committed_offset[TOPIC] = 100
        one, two, three = frame_messages(consumer, (100, 5000), (5000, 5001), (5001, 9000))
        assert consumer.ack(one)
        await consumer.commit()
        assert not await consumer.commit()
        assert consumer.ack(two)
        assert consumer.ack(three)
        await consumer.commit()
        assert [{TOPIC: 5000}, {TOPIC: 9000}] == committed
        assert 9000 == consumer._committed_offset[TOPIC]
        assert not consumer._acked[TOPIC]
        assert not consumer._acked_index[TOPIC]

    in_loop(commit)


def test_acks_of_replayed_frames_move_nothing() -> None:
    def ack(consumer: FrameConsumer) -> None:
        consumer._committed_offset[TOPIC] = 100
        replayed, single = frame_messages(consumer, (50, 100), (100, 101))
        assert not consumer.ack(replayed)
        assert replayed.acked
        assert consumer._new_offset(TOPIC) is None
        # A frame of the one message that is next to be committed counts.
        assert consumer.ack(single)
        assert 101 == consumer._new_offset(TOPIC)

    in_loop(ack)


def test_faust_asks_for_the_offset_to_commit_and_keeps_the_acked() -> None:
    assert "self._new_offset(tp)" in inspect.getsource(Consumer._filter_committable_offsets)
    assert "offset > committed" in inspect.getsource(Consumer._should_commit)
    in_loop(lambda consumer: _assert_empty(consumer._acked, consumer._acked_index))


def _assert_empty(acked: Any, index: Any) -> None:
    assert [] == acked[TOPIC]
    assert set() == index[TOPIC]


# -- seeking -------------------------------------------------------------------------------------


def sought(committed: dict[TP, int | None], starts: dict[TP, Start]) -> tuple[FrameConsumer, list[tuple[TP, int]]]:
    """The consumer after a seek, with replays that begin at `starts`, and where it went."""
    went: list[tuple[TP, int]] = []

    async def seek(consumer: FrameConsumer) -> FrameConsumer:
        async def seek_to_committed() -> dict[TP, int | None]:
            return committed

        async def seek_one(tp: TP, offset: int) -> None:
            went.append((tp, offset))

        async def replay_starts(_committed: Any) -> dict[TP, Start]:
            return starts

        consumer.seek_to_committed = seek_to_committed
        consumer._seek = seek_one
        consumer._replay_starts = replay_starts
        consumer._read_offset[TOPIC] = 7
        await consumer.perform_seek()
        return consumer

    return in_loop(seek), went


def test_a_seek_goes_back_to_where_the_replay_begins() -> None:
    consumer, went = sought({TOPIC: 100}, {TOPIC: Start(40, T0)})
    assert [(TOPIC, 40)] == went
    assert (100, 100, 1) == (consumer._live_from[TOPIC], consumer._committed_offset[TOPIC], consumer._epochs[TOPIC])
    assert consumer._read_offset[TOPIC] is None


def test_what_lies_before_a_stretch_that_is_read_whole_is_told() -> None:
    consumer, _ = sought({TOPIC: 100}, {TOPIC: Start(40, T0)})
    batch = [*records(40, 41, timestamp=T0 - 1), *records(42, 100, timestamp=T0)]
    assert [(True, False), (True, True), (False, True)] == [
        (one.replay, one.whole) for one in consumer._frames(TOPIC, batch)
    ]


def test_frames_of_a_topic_that_takes_long_are_small() -> None:
    def cut(consumer: FrameConsumer) -> list[int]:
        consumer.app.most = {TOPIC.topic: 3}
        return [len(one) for one in consumer._frames(TOPIC, records(*range(7)))]

    assert [3, 3, 1] == in_loop(cut)


def test_while_what_comes_first_is_read_again_the_others_wait() -> None:
    other = TP("agent.windows", 0)

    async def look(consumer: FrameConsumer) -> list[set[TP]]:
        fetched: list[set[TP]] = []

        async def getmany(active: set[TP], _timeout: float) -> dict[TP, Any]:
            fetched.append(active)
            return {}

        consumer.app.first = frozenset({TOPIC.topic})
        consumer._thread.getmany = getmany
        consumer._live_from[TOPIC], consumer._replaying, consumer._others_wait_s = 100, {TOPIC}, monotonic() + 60
        assert {} == await consumer._getmany({other}, 1.0)
        await consumer._getmany({TOPIC, other}, 1.0)
        consumer._frames(TOPIC, records(98))
        await consumer._getmany({TOPIC, other}, 1.0)
        consumer._frames(TOPIC, records(99))
        await consumer._getmany({TOPIC, other}, 1.0)
        consumer._replaying, consumer._others_wait_s = {TOPIC}, monotonic()
        await consumer._getmany({other}, 1.0)
        return fetched

    assert [{TOPIC}, {TOPIC}, {TOPIC, other}, {other}] == in_loop(look)


@pytest.mark.parametrize("offset", [None, -1])
def test_a_partition_that_was_never_read_is_live_from_its_beginning(offset: int | None) -> None:
    consumer, went = sought({TOPIC: offset}, {})
    assert [] == went
    assert (0, None) == (consumer._live_from[TOPIC], consumer._committed_offset[TOPIC])


def test_replays_are_looked_up_for_topics_with_a_horizon_that_were_read_before() -> None:
    asked: list[dict[TP, int]] = []

    async def look(consumer: FrameConsumer) -> dict[TP, int]:
        async def call_thread(_function: Any, times: dict[TP, int]) -> dict[TP, Any]:
            asked.append(times)
            return {tp: SimpleNamespace(offset=12) for tp in times}

        consumer._thread._ensure_consumer = lambda: SimpleNamespace(offsets_for_times=None)
        consumer._thread.call_thread = call_thread
        unread, elsewhere = TP(TOPIC.topic, 1), TP("another", 0)
        return await consumer._replay_starts({TOPIC: 100, unread: None, elsewhere: 5, TP(TOPIC.topic, 2): 0})

    assert {TOPIC: 12} == {tp: start.offset for tp, start in in_loop(look).items()}
    assert {TOPIC} == {tp for times in asked for tp in times}
    # A few requests for all of a topic's partitions.
    assert len(asked) < 15


def test_faust_seeks_once_after_an_assignment_and_before_the_flow_resumes() -> None:
    from faust.tables.recovery import Recovery

    # Where there are no tables, and where there are: one or the other follows an assignment.
    for method in (Recovery._resume_streams, Recovery.on_recovery_completed):
        source = inspect.getsource(method)
        sought_at = source.rindex("consumer.perform_seek()")
        assert "consumer.resume_flow()" in source[sought_at:]
    assert 1 == inspect.getsource(Recovery._resume_streams).count("perform_seek()")


# -- aiokafka ------------------------------------------------------------------------------------


def batch_bytes(offsets: Iterable[int], codec: int = 0, control: bool = False) -> bytes:
    """A broker's record batch."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    wanted = list(offsets)
    for at, offset in enumerate(wanted):
        assert builder.append(at, T0 + offset, b"k", b"value-%d" % offset, [])
    out = builder.build()
    out[0:8] = wanted[0].to_bytes(8, "big")  # the base offset, which the checksum leaves out
    if control:
        out[22] |= 0x20
    return bytes(out)


class Position:
    """What a `FetchResult` asks of an assignment."""

    def __init__(self, offset: int) -> None:
        self.active = True
        self.paused = False
        self.position = offset

    def state_value(self, _tp: Any) -> Position:
        return self

    def consumed_to(self, offset: int) -> None:
        self.position = offset


def fetched(data: bytes, offset: int, crc: bool = True) -> tuple[FetchResult, Position]:
    tp, position = TopicPartition(*TOPIC), Position(offset)
    parsed = PartitionRecords(tp, MemoryRecords(data), [], offset, None, None, crc, READ_UNCOMMITTED)
    return FetchResult(tp, assignment=position, partition_records=parsed, backoff=0), position


def shown(taken: list[Any]) -> list[tuple[int, int, bytes]]:
    return [(one.offset, one.timestamp, one.value) for one in taken]


LZ4 = 3


@pytest.mark.parametrize("codec", [0, LZ4])
@pytest.mark.parametrize("begin", [10, 13, 19])
def test_taking_all_at_once_is_what_aiokafka_takes_one_by_one(codec: int, begin: int) -> None:
    data = batch_bytes(range(10, 20), codec) + batch_bytes(range(20, 30), codec)
    theirs, their_position = fetched(data, begin)
    ours, our_position = fetched(data, begin)
    expected = shown(theirs.getall())
    assert [(offset, T0 + offset, b"value-%d" % offset) for offset in range(begin, 30)] == expected
    assert expected == shown(take_all(ours))
    assert 30 == their_position.position == our_position.position
    assert not ours.has_more()
    assert not theirs.has_more()


def test_control_batches_are_passed_over() -> None:
    data = batch_bytes(range(5)) + batch_bytes([5], control=True) + batch_bytes([6])
    theirs, _ = fetched(data, 0, crc=False)
    ours, position = fetched(data, 0, crc=False)
    assert [0, 1, 2, 3, 4, 6] == [one.offset for one in theirs.getall()]
    assert [0, 1, 2, 3, 4, 6] == [one.offset for one in take_all(ours)]
    assert 7 == position.position


def test_a_batch_that_was_damaged_is_refused() -> None:
    from aiokafka.errors import CorruptRecordException

    data = bytearray(batch_bytes(range(5)))
    data[-1] ^= 1
    ours, position = fetched(bytes(data), 0)
    with pytest.raises(CorruptRecordException, match="CRC"):
        take_all(ours)
    assert 0 == position.position


def test_a_fetch_for_another_position_is_left_alone() -> None:
    ours, position = fetched(batch_bytes(range(5)), 0)
    position.position = 3
    assert [] == take_all(ours)
    ours, position = fetched(batch_bytes(range(5)), 0)
    position.paused = True
    assert [] == take_all(ours)


def test_the_thread_takes_what_was_fetched_at_once() -> None:
    result, _ = fetched(batch_bytes(range(5)), 0)

    async def fetch(consumer: FrameConsumer) -> Any:
        context = SimpleNamespace(__enter__=None)

        class Context:
            def __enter__(self) -> Any:
                return context

            def __exit__(self, *_: Any) -> None:
                pass

        async def fetched_records(*_: Any, **__: Any) -> Any:
            return {TOPIC: result.getall(None)}

        fetcher = SimpleNamespace(
            _records={TOPIC: result, TP("x", 0): object()}, _closed=False, fetched_records=fetched_records,
            _get_actions_per_node=None, _create_fetch_waiter=None,
            _subscriptions=SimpleNamespace(fetch_context=Context),
        )  # fmt: skip
        return await consumer._thread._fetch_records(SimpleNamespace(_fetcher=fetcher, _closed=False), {TOPIC}, 1.0)

    taken = in_loop(fetch)[TOPIC]
    assert [0, 1, 2, 3, 4] == [one.offset for one in taken]
    assert "ConsumerRecord" != type(taken[0]).__name__


def a_fetcher() -> Any:
    """As much of aiokafka's as decides what is fetched when."""
    fetcher = SimpleNamespace(_fetch_waiters=set(), _wait_consume_future=None, told=[])
    fetcher._get_actions_per_node = lambda assignment: (["a fetch"], {}, 0.2, False, [assignment])
    fetcher._notify = fetcher.told.append

    def new_waiter() -> str:
        fetcher._fetch_waiters.add("who asks")
        return "who asks"

    fetcher._create_fetch_waiter = new_waiter
    return fetcher


def test_aiokafkas_fetcher_has_what_is_taken_of_it() -> None:
    routine = inspect.getsource(Fetcher._fetch_requests_routine)
    assert "= self._get_actions_per_node(assignment)" in routine
    assert "other_futs = [self._wait_consume_future," in routine
    asked = inspect.getsource(Fetcher.fetched_records)
    assert asked.index("drained") < asked.index("waiter = self._create_fetch_waiter()")
    assert "self._fetch_waiters.add(fut)" in inspect.getsource(Fetcher._create_fetch_waiter)
    assert "fetch_requests,\n            awaiting_reset," in inspect.getsource(Fetcher._get_actions_per_node)


@pytest.mark.parametrize(
    ("light", "asked", "fetched"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_with_little_to_do_a_fetch_waits_until_somebody_asks(light: bool, asked: bool, fetched: bool) -> None:
    fetcher = a_fetcher()
    fetch_when_asked(fetcher, lambda: light)
    if asked:
        assert "who asks" == fetcher._create_fetch_waiter()
        assert [fetcher._wait_consume_future] == fetcher.told
    expected = (["a fetch"] if fetched else [], {}, 0.2, False, ["ours"])
    assert expected == fetcher._get_actions_per_node("ours")


def test_with_little_to_do_the_next_fetch_waits_until_the_frames_are_worked_on() -> None:
    async def fetch_twice(consumer: FrameConsumer) -> tuple[list[Any], bool, list[Any]]:
        feed(consumer, {TOPIC: records(0)}, {TOPIC: records(1)})
        first = await got(consumer)
        second = asyncio.ensure_future(got(consumer))
        await asyncio.sleep(0.01)
        waited = not second.done()
        consumer.app.hand_in()
        return first, waited, await second

    first, waited, second = in_loop(fetch_twice)
    assert ([0], True, [1]) == ([one.offset for one in first], waited, [one.offset for one in second])


@pytest.mark.parametrize(
    ("took_s", "fetched", "rest_s"), [(0.002, 1, 0.002 * REST), (5.0, 1, REST_MOST_S), (5.0, LIGHT, None)]
)
def test_with_little_to_do_a_fetch_gives_more_events_time_to_come(
    took_s: float, fetched: int, rest_s: float | None
) -> None:
    async def rested(consumer: FrameConsumer) -> list[float]:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        feed(consumer, {TOPIC: records(*range(fetched))}, {TOPIC: records(fetched)})
        await got(consumer)
        consumer.app.hand_in()
        consumer.app.took_s, consumer.sleep = took_s, sleep
        await got(consumer)
        return slept

    assert ([] if rest_s is None else [rest_s]) == in_loop(rested)


def test_how_long_frames_took_is_known_once_all_are_worked_on() -> None:
    async def work(consumer: FrameConsumer) -> tuple[float, float]:
        app = consumer.app
        app.hand_out()
        await asyncio.sleep(0.01)
        app.hand_out()
        app.hand_in()
        half = app.took_s
        app.hand_in()
        return half, app.took_s

    half, whole = in_loop(work)
    assert 0 == half and 0.01 <= whole


def test_a_frame_that_is_worked_on_by_nobody_holds_nothing_up_for_long() -> None:
    async def fetch_twice(consumer: FrameConsumer) -> list[Any]:
        feed(consumer, {TOPIC: records(0)}, {TOPIC: records(1)})
        return [*await got(consumer), *await asyncio.wait_for(got(consumer), 10)]

    assert [0, 1] == [one.offset for one in in_loop(fetch_twice)]


def test_with_much_to_do_nothing_is_waited_for() -> None:
    async def fetch_twice(consumer: FrameConsumer) -> tuple[bool, bool]:
        feed(consumer, {TOPIC: records(*range(LIGHT))}, {TOPIC: records(LIGHT)})
        before = consumer._thread.is_light
        await got(consumer)
        heavy = not consumer._thread.is_light
        consumer.app.worked_on.wait = None  # whoever waited would raise
        await got(consumer)
        return before, heavy

    assert (True, True) == in_loop(fetch_twice)


def test_what_is_urgent_is_worked_on_first() -> None:
    async def fetch(consumer: FrameConsumer) -> list[str]:
        consumer.app.urgent = frozenset({"agent.anomalies"})
        feed(consumer, {TOPIC: records(0), TP("agent.anomalies", 0): records(5), TP("agent.events", 1): records(3)})
        return [message.topic for message in await got(consumer)]

    assert ["agent.anomalies", "agent.events", "agent.events"] == in_loop(fetch)


def test_the_broker_holds_an_empty_answer_back_for_milliseconds() -> None:
    async def fetcher() -> int:
        app = build_app(Settings(kafka="127.0.0.1:1", prefix="t-"), Rules(), FOLDER, Policy())
        app.finalize()
        thread = app.consumer._new_consumer_thread()
        consumer = thread._create_worker_consumer(app.transport)
        return int(consumer._fetch_max_wait_ms)

    assert FETCH_WAIT_MS == asyncio.run(fetcher())


def test_fetches_have_no_limit_of_records() -> None:
    # `take_all` keeps to none, and aiokafka asserts that a limit is kept to.
    async def conf() -> Any:
        return build_app(Settings(kafka="127.0.0.1:1", prefix="t-"), Rules(), FOLDER, Policy()).conf

    assert asyncio.run(conf()).broker_max_poll_records is None
    assert faust.App is not FrameApp
