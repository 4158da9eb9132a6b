"""The Faust app: topics to agents, agents to topics. All that is decided is decided elsewhere."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, time
from typing import Any

import faust

from ..config import Settings
from ..deadletters.guard import Guard
from ..deadletters.limit import Limit
from ..deadletters.words import Words
from ..schemas.anomalies import Anomaly
from ..schemas.health import Health, this_worker
from ..schemas.registry import open_registry
from ..schemas.topics import ANOMALIES, EVENTS, FLEET, HEALTH, WINDOWS, ensure_topics
from ..settings.policy import Policy
from .credentials import credentials
from .drift.memory import Memory
from .emit import Emitter, Encoder
from .enforcement import Enforcement
from .fleet.parts import KEY
from .fleet.watch import FleetWatch
from .frames import Frame
from .holding import Holding, NotYet
from .metrics import Standing, WorkerMetrics
from .recollection import Recollection
from .replay import Horizon
from .rules import Rules
from .transport import FrameApp, FrameSchema
from .watch import EventWatch, WindowWatch, stamped

log = logging.getLogger("runwatch.processors")

REPORT_EVERY_S = 30.0
HEALTH_EVERY_S = 5.0
MEASURE_EVERY_S = 1.0
RECALL_EVERY_S = 300.0
CLEAR_EVERY_S = 10.0
TICK_S = 0.5
MOST_UNACKED = 64
"""Frames of a topic whose output may be under way: no more are worked on, and so no more are held in memory."""
SLICE = 32
"""Window parts that are sent without looking up: some 5 ms."""
TURN_S = 0.003
"""Between two such pieces of work, where there is little to do: a fetch takes two milliseconds."""


def run_processors(
    settings: Settings,
    rules: Rules,
    policy: Policy | None = None,
    metrics: WorkerMetrics | None = None,
    guard: Guard | None = None,
) -> None:
    """Runs a worker until it is told to stop (SIGINT or SIGTERM). Raises `TopicsError` where the broker is away.

    `metrics`: takes note of what the worker does, for who serves it; `guard`: says when a topic is not to be read on.
    """
    ensure_topics(
        settings.kafka,
        settings.prefix,
        partitions=settings.partitions,
        replication=settings.replication,
        extra=settings.kafka_client(),
    )
    with TemporaryDirectory(prefix="runwatch-") as folder:
        app = build_app(settings, rules, Path(folder), policy or Policy(), metrics, guard)
        worker = faust.Worker(app, loglevel="WARN", quiet=True, override_logging=False, redirect_stdouts=False)
        worker.execute_from_commandline()


def build_app(
    settings: Settings,
    rules: Rules,
    folder: Path,
    policy: Policy,
    metrics: WorkerMetrics | None = None,
    guard: Guard | None = None,
) -> FrameApp:
    """The app, wired but not started. `folder`: one that Faust wants, and keeps nothing in that we need."""
    events, windows, anomalies = (settings.topic(topic.name) for topic in (EVENTS, WINDOWS, ANOMALIES))
    app = FrameApp(
        f"{settings.prefix}runwatch-processors",
        broker=[f"kafka://{place.strip()}" for place in settings.kafka.split(",")],
        broker_credentials=credentials(settings.kafka_access),
        datadir=folder,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # A frame is what one fetch of a partition brings, at the most.
        consumer_max_fetch_size=2 * 2**20,
        broker_commit_interval=1.0,
        # A worker that was killed is missed after so long, and the next one waits until then: Faust's own is a
        # minute, and brokers take no less than this. Heartbeats come from the consumer's own thread, so that a long
        # frame costs no membership; that others rebalance is told by their answers.
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        # Frames, not messages: each is up to the fetch size, and a fetch may bring one of every partition.
        stream_buffer_maxsize=16,
        stream_wait_empty=True,
    )
    app.horizons = {
        events: Horizon(rules.windows.stretch, before=0, recall_ms=rules.runs.recall, most=rules.runs.recall_events),
        windows: Horizon(rules.merge.stretch, before=1),
        settings.topic(FLEET.name): Horizon(rules.fleet.stretch, before=1),
        anomalies: Horizon(policy.longest_ms, before=1, kept_ms=int(ANOMALIES.config["retention.ms"]), timed=True),
    }
    # What stops runs goes before what watches them.
    app.urgent = frozenset({anomalies})
    # A loop that nobody sees costs by the second.
    app.first = frozenset({events, anomalies})
    # Parts are added up one by one: some 30 ms.
    app.most = {windows: 500}
    _Wiring(app, settings, rules, policy, metrics, guard)
    return app


class _Wiring:
    """Connects the app's topics and timers to the watches."""

    def __init__(
        self,
        app: FrameApp,
        settings: Settings,
        rules: Rules,
        policy: Policy,
        metrics: WorkerMetrics | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        events, windows, fleet, anomalies = (
            settings.topic(topic.name) for topic in (EVENTS, WINDOWS, FLEET, ANOMALIES)
        )
        registry = open_registry(settings.registry)
        self.event_watch = EventWatch(registry, rules)
        memory = Memory()
        self.window_watch = WindowWatch(registry, rules, memory)
        self.recollection = Recollection(settings, rules.drift, memory)
        self.fleet_watch = FleetWatch(registry, rules.fleet)
        self.enforcement = Enforcement(settings, policy, registry, lambda: self._quick, self._say, _now_ms)
        self.holding = Holding(guard or Guard("processors", Limit(), Words(settings, registry)))
        for watch in (self.event_watch, self.window_watch, self.fleet_watch):
            watch.look = self.holding.look
        self.enforcement.guarded_by(self.holding.look)
        self.encode_anomaly = Encoder("anomaly", anomalies, registry)
        self.encode_part = Encoder("window_part", windows, registry)
        self.encode_fleet_part = Encoder("fleet_part", fleet, registry)
        self.encode_health = Encoder("health", settings.topic(HEALTH.name), registry)
        self.emitter: Emitter | None = None
        self.quick_emitter: Emitter | None = None
        self._recalling: asyncio.Future[None] | None = None
        self._started_ms = _now_ms()
        # Frames whose output is under way, oldest first: acked in order, once it has arrived.
        self._unacked: dict[str, deque[tuple[Any, asyncio.Future[Any]]]] = {
            topic: deque() for topic in (events, windows, fleet, anomalies)
        }
        # Parts that a tick sent and that are under way.
        self._ticking: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._due = 0.0
        self._parts_sent = 0

        app.agent(app.topic(events, schema=FrameSchema()), name="events")(self.on_events)
        app.agent(app.topic(windows, schema=FrameSchema()), name="windows")(self.on_windows)
        app.agent(app.topic(fleet, schema=FrameSchema()), name="fleet")(self.on_fleet)
        app.agent(app.topic(anomalies, schema=FrameSchema()), name="anomalies")(self.on_anomalies)
        app.on_partitions_assigned.connect(self.on_assigned)
        app.on_before_shutdown.connect(self.on_stop)
        app.task(on_leader=False)(self.on_start)
        self._send_every_s = rules.windows.send_every / 1000
        app.timer(interval=TICK_S)(self.on_tick)
        app.timer(interval=RECALL_EVERY_S)(self.on_recall)
        app.timer(interval=CLEAR_EVERY_S)(self.enforcement.clear)
        app.timer(interval=HEALTH_EVERY_S)(self.on_health)
        if metrics is not None:
            app.timer(interval=MEASURE_EVERY_S)(self.on_measure)
        app.timer(interval=REPORT_EVERY_S)(self.on_report)

    # -- frames ------------------------------------------------------------------------------------

    async def on_events(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self._guarded(event, self._events)

    async def on_windows(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self.recollection.settled()
            await self._guarded(event, self._windows)

    async def on_fleet(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self._guarded(event, self._fleet)

    async def on_anomalies(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self.enforcement.ready()
            await self._guarded(event, self.enforcement.take)

    async def _guarded(self, event: Any, work: Any) -> None:
        """On anything unexpected the worker stops before the ack: Faust would restart the agent behind the frame."""
        while True:
            began_s = perf_counter()
            try:
                done = work(event.value)
                break
            except NotYet as which:
                if not await self._waited(which):
                    # It goes unread to whoever reads its partition next, and nobody waits for its ack.
                    self.app.consumer._unacked_messages.discard(event.message)
                    return
            except Exception as error:
                log.exception("A frame of %s could not be worked on; the worker stops.", event.message.topic)
                await self.app.crash(error)
                raise
        if self.metrics is not None:
            self.metrics.worked(event.value, perf_counter() - began_s)
        self.app.hand_in()
        waiting = self._unacked[event.message.topic]
        waiting.append((event, done))
        if not done.done():
            done.add_done_callback(lambda _: self._settle(event.message.topic))
        self._settle(event.message.topic)
        while len(waiting) > MOST_UNACKED and waiting[0][1].done() is False:
            # The broker takes less than it gives: what was read is held until what came of it has arrived.
            await asyncio.wait([waiting[0][1]], timeout=1.0)
        # Let the other topic's frames, the timers and the deliveries have their turn.
        await asyncio.sleep(0)

    async def _waited(self, which: NotYet) -> bool:
        """Waits with a frame that is not to be worked on yet; the other topics' frames go on."""
        consumer = self.app.consumer
        places = [place for place in consumer.assignment() if place.topic == which.topic]
        # As while a stream's queue is full: what is fetched of the topic would only fill it.
        for place in places:
            consumer.on_buffer_full(place)
        self.app.hand_in()
        try:
            return await self.holding.wait(which, lambda: bool(consumer.flow_active))
        finally:
            self.app.hand_out()
            for place in places:
                consumer.on_buffer_drop(place)

    def _settle(self, topic: str) -> None:
        """Acks the oldest frames whose output has arrived."""
        waiting = self._unacked[topic]
        while waiting and waiting[0][1].done():
            event, done = waiting.popleft()
            if error := done.exception():
                log.error("%s", error)
                asyncio.ensure_future(self.app.crash(error))  # noqa: RUF006  # the crash ends the loop itself
                return
            event.ack()

    def _events(self, frame: Frame) -> asyncio.Future[Any]:
        out = self.event_watch.take(frame)
        if self.metrics is not None:
            self.metrics.read(out.fresh)
        said: asyncio.Future[Any] = self._say(out.anomalies)
        if out.anomalies:
            said = asyncio.gather(said, self.enforcement.at_once(out.anomalies))
        sent: list[Any] = [said]
        if out.parts is not None:
            sent += asyncio.ensure_future(self._send_in_turns(out.parts)), self._send_fleet_parts(out.fleet_parts)
        # The frame may be the first of a stretch, and once it is committed the one before is told no more: what a
        # tick sent of that must have arrived too.
        sent += self._ticking
        return said if len(sent) == 1 else asyncio.gather(*sent)

    def _windows(self, frame: Frame) -> asyncio.Future[Any]:
        return self._say(self.window_watch.take(frame))

    def _fleet(self, frame: Frame) -> asyncio.Future[Any]:
        return self._say(self.fleet_watch.take(frame))

    # -- output ------------------------------------------------------------------------------------

    @property
    def _out(self) -> Emitter:
        if self.emitter is None:
            self.emitter = Emitter(self.settings.kafka_client(), asyncio.get_running_loop())
        return self.emitter

    @property
    def _quick(self) -> Emitter:
        """For what stops runs: it waits neither behind thousands of window parts, nor for more to be sent with it."""
        if self.quick_emitter is None:
            config = self.settings.kafka_client(**{"linger.ms": 0})
            self.quick_emitter = Emitter(config, asyncio.get_running_loop())
        return self.quick_emitter

    def _say(self, anomalies: list[Anomaly]) -> asyncio.Future[None]:
        for anomaly in anomalies:
            # Thousands in an hour of a bad day: who wants to read them has `runwatch anomalies`.
            log.debug("%s %s: %s", anomaly.state, anomaly.rule, anomaly.message)
        if self.metrics is not None:
            self.metrics.said(anomalies, _now_ms())
        return self._quick.send(
            self.encode_anomaly.topic,
            (self.encode_anomaly(one.to_record(), one.agent) for one in stamped(anomalies, _now_ms())),
        )

    def _send_parts(self, parts: Collection[dict[str, Any]]) -> asyncio.Future[None]:
        self._parts_sent += len(parts)
        return self._out.send(self.encode_part.topic, (self.encode_part(part, part["agent"]) for part in parts))

    def _send_fleet_parts(self, parts: Collection[dict[str, Any]]) -> asyncio.Future[None]:
        return self._out.send(self.encode_fleet_part.topic, (self.encode_fleet_part(part, KEY) for part in parts))

    # -- the rest ----------------------------------------------------------------------------------

    async def on_start(self) -> None:
        log.warning("Watching %s on %s.", self.settings.topic(EVENTS.name), self.settings.kafka)
        self.enforcement.start()
        await self.holding.ask()
        await asyncio.to_thread(self._quick.meet, (self.encode_anomaly.topic, self.enforcement.topic))
        # What was imported and wired is never let go. To look through it took the collector 80 ms each time, in which
        # no frame was worked on.
        gc.collect()
        gc.freeze()

    async def on_stop(self, *_: Any, **__: Any) -> None:
        await asyncio.to_thread(self.enforcement.close)

    async def on_assigned(self, _app: Any, assigned: Iterable[Any], **_: Any) -> None:
        ours = list(assigned)
        self.event_watch.keep_only(tp.partition for tp in ours if tp.topic == self.settings.topic(EVENTS.name))
        self.window_watch.keep_only(tp.partition for tp in ours if tp.topic == self.settings.topic(WINDOWS.name))
        self.fleet_watch.keep_only(tp.partition for tp in ours if tp.topic == self.settings.topic(FLEET.name))
        self.enforcement.keep_only(tp.partition for tp in ours if tp.topic == self.settings.topic(ANOMALIES.name))
        for waiting in self._unacked.values():
            waiting.clear()
        # On its own: an assignment waits for nothing.
        self._recalling = asyncio.ensure_future(self.on_recall())

    async def on_recall(self) -> None:
        """Reads what was stored of the time before; episodes whose agents are gone are ended by one worker for all."""
        ended = await self.recollection.refresh()
        if self.window_watch.holds(0):
            await self._say(ended)

    async def on_tick(self) -> None:
        """Sends the changed parts of some partitions, each in its turn, and judges what fell silent."""
        ours = self.event_watch.partitions
        # Each partition once in the time that the rules say, a few of them at each tick.
        self._due = min(self._due + len(ours) * TICK_S / self._send_every_s, len(ours))
        while self._due >= 1:
            self._due -= 1
            self._turn = (self._turn + 1) % len(ours)
            sent = asyncio.ensure_future(self._send_changed(ours[self._turn], _now_ms()))
            self._ticking.add(sent)
            sent.add_done_callback(self._ticking.discard)
            await asyncio.shield(sent)  # frames wait for it, and are not to be cancelled with the timer
        await self._say([*self.window_watch.quiet(_now_ms()), *self.fleet_watch.quiet(_now_ms())])

    async def _send_changed(self, partition: int, now_ms: int) -> None:
        """Sends a partition's parts as they are now, in pieces between which frames have their turn."""
        self.event_watch.group(partition)
        await self._take_turns()
        parts = self.event_watch.parts(partition, now_ms)
        fleet = self._send_fleet_parts(self.event_watch.fleet_parts(partition, now_ms))
        await asyncio.gather(fleet, self._send_in_turns(parts))

    async def _send_in_turns(self, parts: Iterator[dict[str, Any]]) -> None:
        """Sends parts a few at a time: a frame that comes in meanwhile need not wait for thousands."""
        sent = []
        while some := list(islice(parts, SLICE)):
            sent.append(self._send_parts(some))
            await self._take_turns()
        await asyncio.gather(*sent)

    async def _take_turns(self) -> None:
        """Lets the frames that have come in meanwhile be worked on."""
        await asyncio.sleep(0)
        if self.app.is_light:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.app.worked_on.wait(), TURN_S)
            # For a fetch, if one is due.
            await asyncio.sleep(TURN_S)

    async def on_report(self) -> None:
        log.warning("%s", ", ".join(f"{name} {count:,}" for name, count in self._counts().items() if count) or "idle")

    async def on_health(self) -> None:
        """Says how it is, for `runwatch status`."""
        await self.holding.tell()
        health = Health(this_worker(), "processors", _now_ms(), self._started_ms, self._counts())
        await self._out.send(self.encode_health.topic, [self.encode_health(health.to_record(), health.worker)])

    async def on_measure(self) -> None:
        """Once a second, for Prometheus: what was read since is added up."""
        if self.metrics is not None:
            self.metrics.stands(
                Standing(
                    at_s=time(),
                    counts=self._counts(),
                    lag={(tp.topic, tp.partition): lag for tp, lag in self.app.consumer.lags().items()},
                    controls=self.enforcement.standing(),
                    commands=self.enforcement.commanded.copy(),
                    window_parts=self.event_watch.window_parts,
                    held={topic: topic in self.holding.guard.troubled for topic in self._unacked},
                )
            )

    def _counts(self) -> dict[str, int]:
        counts = self.event_watch.counts
        return {
            **asdict(counts.fold),
            "frames": counts.frames,
            "replayed": counts.replayed,
            "unreadable": counts.unreadable + self.window_watch.bad + self.fleet_watch.bad + self.enforcement.bad,
            "overflowing": self.event_watch.overflowing,
            "late": self.window_watch.late + self.fleet_watch.late,
            "tracks": self.window_watch.tracks,
            "open_runs": self.event_watch.open_runs,
            "window_parts": self._parts_sent,
            "commands": self.enforcement.commanded.total(),
        }


def _now_ms() -> int:
    return int(time() * 1000)
