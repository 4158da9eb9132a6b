"""Part `outage`: ClickHouse hangs for a while under a steady rate of events; how fast the sink catches up.

ClickHouse is stopped (SIGSTOP) as a disk that hangs would stop it: connections stay, and nobody answers. While it is
away the sink waits and stays in its group; memory is looked at all the time. Once it goes on, what counts is how many
events a second are stored until the sink is level again, as a multiple of those that are sent. Afterwards ClickHouse
must hold each event once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing

from confluent_kafka import Consumer, TopicPartition

from ..config import Settings
from ..schemas.topics import EVENTS
from .child import Child
from .context import Context
from .databases import database, events_in
from .errors import BenchError
from .figures import Figures, rounded
from .paced import Pace
from .result import Result
from .traffic import Listener, warm_up

RATE = 20_000
"""Events a second, where no rate is asked for."""
BEFORE_S = 5.0
LEVEL_S = 1.0
"""Who lags by no more than what is sent in so long is level."""
MOST_S = 300.0
"""So long it may take."""
AIM_TIMES = 5.0
POLL_S = 0.1


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where the sink is not level again in time."""
    options, servers = context.options, context.servers
    settings = servers.settings("outage.", "outage")
    rate, outage_s = options.rate or RATE, options.outage_s
    pace = Pace(
        kafka=settings.kafka,
        topic=settings.topic(EVENTS.name),
        # Sending goes on while the sink catches up.
        events=int(rate * (BEFORE_S + outage_s * (1 + 1 / (AIM_TIMES - 1)) + BEFORE_S)),
        rate=rate,
        rows_per_s=0.001,
        loop_share=0.01,
        seed=5,
    )
    clickhouse = servers.pids["clickhouse"]
    with database(settings) as client, servers.part("sink", settings) as sink, closing(_asking(settings)) as asking:
        lag = _Lag(asking, pace.topic)
        context.tell("outage: waiting for the sink")
        warm = warm_up(servers, settings, None, sink, pace)
        with servers.module("paced", pace.to_json(), says=True) as sender:
            traffic = Listener(sender)
            _until(lambda: lag.end() > warm, 60, sink)
            time.sleep(BEFORE_S)
            calm = sink.usage().rss
            context.tell(f"outage: ClickHouse is stopped for {outage_s:.0f} s at {rate:,} events/s")
            peak = _stopped(clickhouse, outage_s, sink)
            began, done_before, behind = time.monotonic(), lag.done(), lag.behind()
            context.tell(f"outage: {behind:,} events are to be caught up")

            def is_level() -> bool:
                nonlocal peak
                peak = max(peak, sink.usage().rss)
                return lag.behind() <= rate * LEVEL_S

            _until(is_level, MOST_S, sink)
            took_s, done = time.monotonic() - began, lag.done() - done_before
            sent = warm + traffic.end(outage_s + MOST_S)["sent"]
        _until(lambda: lag.behind() == 0, MOST_S, sink)
        stored, rows, _ = events_in(client, settings)
    times = done / took_s / rate
    figures: Figures = {
        "rate_events_per_s": rate,
        "outage_s": outage_s,
        "behind_events": behind,
        "caught_up_s": rounded(took_s),
        "caught_up_events_per_s": rounded(done / took_s),
        "caught_up_times": rounded(times),
        "sink_rss_before_mib": calm >> 20,
        "sink_peak_rss_mib": peak >> 20,
        "sent": sent,
        "stored": stored,
        "rows": rows,
    }
    problems = []
    if stored != sent:
        problems.append(f"outage: {sent:,} events were sent, {stored:,} are stored")
    if times < AIM_TIMES:
        problems.append(f"outage: caught up at {times:.1f} times real time only")
    return Result("outage", figures, problems=tuple(problems))


class _Lag:
    """How far a group has come with a topic."""

    def __init__(self, asking: Consumer, topic: str) -> None:
        self._asking = asking
        partitions = asking.list_topics(topic, timeout=30).topics[topic].partitions
        self._places = [TopicPartition(topic, number) for number in partitions]

    def end(self) -> int:
        return sum(self._asking.get_watermark_offsets(place, timeout=30)[1] for place in self._places)

    def done(self) -> int:
        return sum(max(0, place.offset) for place in self._asking.committed(self._places, timeout=30))

    def behind(self) -> int:
        return self.end() - self.done()


def _asking(settings: Settings) -> Consumer:
    """A consumer that never joins the sink's group: it only asks."""
    group = f"{settings.prefix}runwatch-sink"
    return Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    )


def _stopped(pid: int, seconds: float, sink: Child) -> int:
    """Stops a process for so long; returns the most bytes that the sink held meanwhile."""
    peak = 0
    os.kill(pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            peak = max(peak, sink.usage().rss)
            time.sleep(POLL_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    return peak


def _until(truth: Callable[[], bool], within_s: float, sink: Child) -> None:
    end = time.monotonic() + within_s
    while not truth():
        sink.check()
        if time.monotonic() > end:
            raise BenchError(f"outage: the sink was not level again within {within_s:.0f} s")
        time.sleep(POLL_S)
