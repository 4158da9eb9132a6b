"""Faust's Kafka transport, one frame for each fetched batch instead of one message for each record.

Faust hands an agent one message at a time, and the trip through conductor, queue, sensors and ack costs it
tens of microseconds. Here one message carries a whole fetched batch of a partition, so the trip is paid once
for thousands of events. Everything else stays Faust: worker, group membership, assignment, flow control.

What this leans on inside Faust 0.15.3 (`tests/processors/test_transport.py` holds each):

- `Consumer.getmany` is an async generator of (tp, message) that `_drain_messages` iterates, which compares
  `message.offset` with `_read_offset[tp]`, drops what is below it and notes a gap where it jumps.
- `Consumer._wait_next_records` returns tp → list of aiokafka records, and the active partitions.
- `Consumer._buffered_partitions` holds the partitions whose stream's queue is full; they are not active meanwhile.
- `Consumer.perform_seek` is called once after each assignment, before the flow resumes, and sets both
  `_read_offset` and `_committed_offset`.
- `Consumer._new_offset` is asked for the offset to commit; `_acked` and `_acked_index` hold the acked ones.
- `AIOKafkaConsumer._fetch_max_wait_ms` is handed to the fetcher when the consumer starts.
- aiokafka's `Fetcher._records` holds `FetchResult`s; `getall` of one empties its `_partition_records`, whose
  `_records` parse the broker's batches, and moves `next_fetch_offset` and the position.
- `Fetcher._get_actions_per_node` returns the fetch requests to send first of all, and is asked anew whenever
  `_wait_consume_future` is notified; `fetched_records` waits by `_create_fetch_waiter`, and `_fetch_waiters` holds
  who waits.
- `Consumer.ack` ignores messages below the committed offset, so replayed frames move nothing.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from time import monotonic, time
from typing import Any

from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException
from faust.app import App
from faust.exceptions import ConsumerNotStarted
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from .frames import Frame
from .replay import Horizon, Start, replay_starts, stretch_start

FETCH_WAIT_MS = 50
"""How long the broker holds back an answer in which there would be nothing."""
CROWDED_S = 0.005
"""How long a fetch waits while some partitions are left out of it."""
LIGHT = 2_000
"""Records of one fetch, up to which the next one waits until these are worked on. See `fetch_when_asked`."""
FIRST_S = 60.0
"""How long topics wait at the most for those that are read again first."""
LIGHT_S = 0.05
"""How long it waits at most: frames that a rebalance takes back are worked on by nobody."""
REST = 3.0
"""With little to do, a fetch waits so many times as long as the last one's frames took, for more to come in: a frame of
a hundred events costs as much as one of a thousand. It keeps a worker below a quarter of a core, and a broker below a
few dozen fetches a second, until frames are so large that the events are what costs."""
REST_MOST_S = 0.03
"""No event waits longer than this for company."""

_offset = attrgetter("offset")
_timestamp = attrgetter("timestamp")


class FrameSchema(Schema):  # type: ignore[misc]  # Faust ships no types
    """Passes frames through: there is nothing to deserialize per message."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


class LeanThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Takes fetched records a broker's batch at a time, as aiokafka's parser gives them.

    aiokafka drives a Python generator for each record and wraps it in a dataclass of eleven fields, which took
    half of a busy worker's time. A frame needs four of them, and the parser's own objects have these. What
    comes in while a fetch waits goes aiokafka's way: then there is little to do.
    """

    is_light = True
    """Whether little came with the last fetch; the consumer says so."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka has one fetch under way per broker, and leaves out of it what was fetched and not yet taken. So
        # a fetch of silent partitions alone holds up the busy ones for as long as it waits: Faust says 1.5 seconds.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(consumer._fetcher, "is_asked"):
            fetch_when_asked(consumer._fetcher, lambda: self.is_light)
        for result in consumer._fetcher._records.values():
            if isinstance(result, FetchResult):
                result.getall = partial(take_all, result)
        return await super()._fetch_records(consumer, *args, **kwargs)


def fetch_when_asked(fetcher: Any, is_light: Callable[[], bool]) -> None:
    """Makes aiokafka's fetcher hold a fetch back, while `is_light`, until somebody asks for records.

    aiokafka fetches ahead: what it hands over was fetched when the records before were taken, and is as old as
    these took. Under load that hides the broker's answering time. With little to do it doubles the delay: at
    10,000 events/s an event was 33 ms old when it was worked on, and is 17 ms old without (median).
    """
    actions, new_waiter = fetcher._get_actions_per_node, fetcher._create_fetch_waiter

    def held_back(assignment: Any) -> Any:
        requests, *rest = actions(assignment)
        return ([] if is_light() and not fetcher._fetch_waiters else requests), *rest

    def asked() -> Any:
        waiter = new_waiter()
        # Wakes the fetcher's routine, which decides anew.
        fetcher._notify(fetcher._wait_consume_future)
        return waiter

    fetcher._get_actions_per_node, fetcher._create_fetch_waiter = held_back, asked
    fetcher.is_asked = True


def take_all(result: Any, max_records: int | None = None) -> list[Any]:
    """`FetchResult.getall` without a step of Python per record; for read_uncommitted, and with no limit."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    source = result._partition_records
    parsed = source._records
    records: list[Any] = []
    while parsed.has_next():
        batch = parsed.next_batch()
        if source._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {result._topic_partition}")
        if not batch.is_control_batch:
            wanted_from = source.next_fetch_offset
            taken = list(batch)
            # The broker sends whole batches, so the first may begin before what was asked for.
            if taken and taken[0].offset < wanted_from:
                taken = taken[bisect_left(taken, wanted_from, key=_offset) :]
            records.extend(taken)
        source.next_fetch_offset = batch.next_offset
    result._update_position()
    result._partition_records = None
    return records


class FrameConsumer(driver.Consumer):  # type: ignore[misc]
    """Yields a frame per fetched batch, and replays a horizon before what is new."""

    def on_init(self) -> None:
        super().on_init()
        self._epochs: dict[TP, int] = {}
        self._live_from: dict[TP, int] = {}
        self._whole_ms: dict[TP, int] = {}
        # Partitions of the app's `first` topics whose replays are under way, and until when the others wait for them.
        self._replaying: set[TP] = set()
        self._others_wait_s = 0.0

    def _new_consumer_thread(self) -> LeanThread:
        return LeanThread(self, loop=self.loop, beacon=self.beacon)

    # -- reading -----------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        if self.flow_active and self._buffered_partitions:
            # A stream's queue is full, so its partitions are left out of the fetch until it has drained: in
            # milliseconds. Faust would wait for the others' records meanwhile, and up to a second.
            timeout = CROWDED_S
            if not self._get_active_partitions():
                await self.sleep(CROWDED_S)
                return
        if self._thread.is_light:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.app.worked_on.wait(), LIGHT_S)
            await self.sleep(min(REST * self.app.took_s, REST_MOST_S))
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            # A rebalance began while the fetch was under way. As in Faust: forget the batch and go back.
            try:
                await self.perform_seek()
            except Exception as error:
                # The partitions may be gone by now, and after the rebalance each is sought again anyway.
                self.log.warning("Seeking during a rebalance: %r", error)
            return
        generation = self.app.consumer_generation_id
        self.app.is_light = self._thread.is_light = sum(map(len, records.values())) < LIGHT
        for tp, batch in sorted(records.items(), key=self._urgency):
            for frame in self._frames(tp, batch):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                if active is None or tp in active or tp in self._buffered_partitions:
                    self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                    # `_drain_messages` would take a frame's length for a gap in the offsets.
                    self._read_offset[tp] = frame.next_offset - 1
                    self.app.hand_out()
                    yield tp, self._frame_message(tp, frame)

    def _urgency(self, fetched: tuple[TP, list[Any]]) -> bool:
        """What stops runs goes before what watches them."""
        return fetched[0].topic not in self.app.urgent

    def _frames(self, tp: TP, batch: list[Any]) -> list[Frame]:
        """The batch as one frame; as several where it spans the committed offset or two stretches, or is too much."""
        horizon = self.app.horizons.get(tp.topic)
        live_from = self._live_from.get(tp, 0)
        end = self.highwater(tp) or 0
        frames = []
        while batch:
            replay = batch[0].offset < live_from
            cut = bisect_left(batch, live_from, key=_offset) if replay else len(batch)
            if horizon:
                ends = stretch_start(batch[0].timestamp, horizon.stretch_ms) + horizon.stretch_ms
                if batch[cut - 1].timestamp >= ends:
                    cut = bisect_left(batch, ends, hi=cut, key=_timestamp)
            cut = min(cut, self.app.most.get(tp.topic, cut))
            part, batch = batch[:cut], batch[cut:]
            if not replay or part[-1].offset + 1 >= live_from:
                self._replaying.discard(tp)
            first, last = part[0].offset, part[-1].offset
            frames.append(
                Frame(
                    topic=tp.topic,
                    partition=tp.partition,
                    values=[record.value for record in part],
                    # A range costs nothing; offsets have gaps only after compaction and transactions.
                    offsets=range(first, last + 1)
                    if last - first + 1 == len(part)
                    else [record.offset for record in part],
                    log_ms=part[-1].timestamp,
                    each_log_ms=[record.timestamp for record in part] if horizon and horizon.timed else None,
                    replay=replay,
                    whole=part[0].timestamp >= self._whole_ms.get(tp, 0),
                    behind=max(0, end - last - 1),
                    epoch=self._epochs.get(tp, 0),
                )
            )
        return frames

    def _frame_message(self, tp: TP, frame: Frame) -> Any:
        return driver.ConsumerMessage(
            frame.topic,
            frame.partition,
            frame.next_offset - 1,
            frame.log_ms / 1000.0,
            0,
            [],
            None,
            frame,
            None,
            -1,
            -1,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def lags(self) -> dict[TP, int]:
        """How many messages of each partition wait to be read, as far as the last fetch tells."""
        found = {}
        for tp in self._assigned():
            try:
                end = self.highwater(tp)
            except (AssertionError, AttributeError):
                continue  # it is being taken away, in the consumer's own thread
            read = self._read_offset.get(tp)
            if end is not None:
                found[tp] = max(0, end - (self._committed_offset.get(tp) or 0 if read is None else read + 1))
        return found

    def _assigned(self) -> set[TP]:
        try:
            return set(self.assignment())
        except ConsumerNotStarted:
            return set()

    # -- committing --------------------------------------------------------------------------------

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: the end of the last acked frame, since a partition's frames are acked in order.

        Faust's own count looks for consecutive offsets and would advance one frame a commit.
        """
        acked = self._acked[tp]
        if not acked:
            return None
        last = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return int(last) + 1

    # -- replay ------------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Seeks each partition to where its replay begins: at or before the committed offset."""
        self.app.take_back()
        committed = await self.seek_to_committed()
        starts = await self._replay_starts(committed)
        for tp, offset in committed.items():
            known = offset is not None and offset >= 0
            self._epochs[tp] = self._epochs.get(tp, 0) + 1
            self._live_from[tp] = offset if known else 0
            self._committed_offset[tp] = offset if known else None
            self._read_offset[tp] = None  # `getmany` sets it with each frame
            self._whole_ms.pop(tp, None)
            if tp in starts:
                self._whole_ms[tp] = starts[tp].whole_ms
                await self._seek(tp, starts[tp].offset)
        self._replaying = {
            tp for tp, start in starts.items() if tp.topic in self.app.first and start.offset < self._live_from[tp]
        }
        self._others_wait_s = monotonic() + FIRST_S

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """As Faust's; while the topics that come first are read again, these alone are fetched.

        What is fetched of the others meanwhile would be worked on in between, and they are read again for hours of
        the log where the first are for minutes.
        """
        if self._replaying and active_partitions is not None and monotonic() < self._others_wait_s:
            active_partitions = {tp for tp in active_partitions if tp.topic in self.app.first}
            if not active_partitions:
                await self.sleep(CROWDED_S)
                return {}
        return await super()._getmany(active_partitions, timeout)

    async def _replay_starts(self, committed: Mapping[TP, int | None]) -> dict[TP, Start]:
        """Where to begin reading, for the partitions whose topic has a horizon and that were read before."""
        consumer = self._thread._ensure_consumer()

        async def lookup(times: dict[TP, int]) -> dict[TP, int | None]:
            found = await self._thread.call_thread(consumer.offsets_for_times, times)
            return {tp: None if place is None else place.offset for tp, place in found.items()}

        starts: dict[TP, Start] = {}
        for topic, horizon in self.app.horizons.items():
            read = {tp: offset for tp, offset in committed.items() if tp.topic == topic and offset and offset > 0}
            if read:
                starts.update(await replay_starts(read, horizon, int(time() * 1000), lookup))
        return starts


class FrameTransport(driver.Transport):  # type: ignore[misc]
    """aiokafka with frames."""

    Consumer = FrameConsumer


class FrameApp(App):  # type: ignore[misc]
    """A Faust app whose consumer yields frames."""

    horizons: Mapping[str, Horizon] = {}
    """Topic → how much of it is replayed on assignment; topics left out are not."""
    urgent: frozenset[str] = frozenset()
    """Topics whose frames are worked on before the others' of the same fetch."""

    most: Mapping[str, int] = {}
    """Topic → messages of a frame at the most; a frame of another is what a fetch brings. Topics take turns, a frame
    each: so one whose messages take long leaves the others their time."""
    first: frozenset[str] = frozenset()
    """Topics that are read again, after an assignment, before the others are read at all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._out = 0
        self.is_light = True
        """Whether there is little to do, as far as the last fetch tells."""
        self.worked_on = asyncio.Event()
        """Set while no frame waits to be worked on."""
        self.worked_on.set()
        self._since_s = 0.0
        self.took_s = 0.0
        """Seconds from when the last frames were handed out until all of them were worked on."""

    def hand_out(self) -> None:
        """A frame goes to its agent."""
        if not self._out:
            self._since_s = monotonic()
        self._out += 1
        self.worked_on.clear()

    def hand_in(self) -> None:
        """A frame was worked on."""
        self._out = max(0, self._out - 1)
        if not self._out:
            self.took_s = monotonic() - self._since_s
            self.worked_on.set()

    def take_back(self) -> None:
        """What waits is worked on by nobody."""
        self._out = 0
        self.worked_on.set()

    def _new_transport(self) -> Any:
        return FrameTransport(self.conf.broker_consumer, self)
