"""Part `delay`: how long after its produce call an event can be read in ClickHouse, and a loop in its topic.

The whole pipeline runs, worker and sink as production starts them, under a steady rate of events. Some events
are waited for. A row counts as readable when a SELECT on the view that people query has returned it; asking
takes turns with a short pause, which is part of what is measured. An anomaly counts as there when a consumer
of its topic has it. All times are of one machine's clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from ..config import Settings
from ..schemas.avro import load
from ..schemas.topics import ANOMALIES, EVENTS
from ..schemas.wire import decode_body, split
from ..sinks.ddl import quoted
from .context import Context
from .databases import database, events_in
from .errors import BenchError
from .figures import Figures, delays, rounded
from .paced import Pace
from .result import Result
from .traffic import hear, warm_up

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

RATE = 5_000
"""Events a second, where no rate is asked for."""
ROWS_PER_S = 20.0
LOOPS_PER_S = 10.0
STEPS_A_RUN = 32
WARM_UP_S = 5.0
ASK_PAUSE_S = 0.02
"""Between two questions whether rows are there."""
LAST_S = 15.0
"""How long is waited for the last of them."""


class Waiting:
    """Things that were sent and are waited for. Several threads use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, float] = {}
        self._early: dict[str, float] = {}
        self.delays: list[tuple[float, float]] = []
        """When each was sent, and how long it took."""

    def sent(self, name: str, at: float) -> None:
        with self._lock:
            # What it led to may be known before its sender has been heard.
            seen = self._early.pop(name, None)
            if seen is None:
                self._sent[name] = at
            else:
                self.delays.append((at, seen - at))

    def seen(self, name: str, now: float) -> None:
        """It is there; what is seen a second time, or was never waited for, changes nothing."""
        with self._lock:
            at = self._sent.pop(name, None)
            if at is None:
                self._early.setdefault(name, now)
            else:
                self.delays.append((at, now - at))

    def waiting(self) -> list[float]:
        """When those were sent that were not seen yet."""
        with self._lock:
            return list(self._sent.values())

    def open(self) -> list[str]:
        with self._lock:
            return list(self._sent)


def measure(context: Context) -> Result:
    """Runs the part. Raises `BenchError` where the pipeline does not come up or the sender fails."""
    options, servers = context.options, context.servers
    settings = servers.settings("delay.", "delay")
    rate = options.rate or RATE
    rows, loops = Waiting(), Waiting()
    events = int(rate * (WARM_UP_S + options.delay_s))
    pace = Pace(
        kafka=settings.kafka,
        topic=settings.topic(EVENTS.name),
        events=events,
        rate=rate,
        rows_per_s=min(ROWS_PER_S, rate / 2),
        loop_share=min(0.5, LOOPS_PER_S * STEPS_A_RUN / rate),
        seed=2,
    )
    with (
        database(settings) as client,
        servers.part("process", settings) as worker,
        servers.part("sink", settings) as sink,
    ):
        context.tell("delay: waiting for the worker and the sink")
        warm = warm_up(servers, settings, worker, sink, pace)
        watchers = [
            Watcher(lambda stop: _watch_rows(client, settings, rows, stop)),
            Watcher(lambda stop: watch_loops(settings, loops, stop)),
        ]
        context.tell(f"delay: {rate:,} events/s for {options.delay_s:.0f} s")
        before = (worker.usage().cpu_s, sink.usage().cpu_s, time.monotonic())
        with servers.module("paced", pace.to_json(), says=True) as sender:
            end = hear(sender, waits(rows, loops))
            after = (worker.usage().cpu_s, sink.usage().cpu_s, time.monotonic())
            _wait_for_last(rows, loops)
        for watcher in watchers:
            watcher.stop()
        stored, _, inserts = _settled(client, settings, warm + end["sent"])
    from_s = end["began"] + WARM_UP_S
    row_delays = [delay for at, delay in rows.delays if at >= from_s]
    loop_delays = [delay for at, delay in loops.delays if at >= from_s]
    if not row_delays or not loop_delays:
        raise BenchError("delay: nothing that was sent was seen: is the time too short?")
    seconds = after[2] - before[2]
    figures: Figures = {
        "rate_events_per_s": rounded(end["sent"] / end["seconds"]),
        "sender_late_max_ms": rounded(1000 * end["late_s"]),
        **delays(row_delays, "row"),
        **delays(loop_delays, "anomaly"),
        "rows_missed": len(rows.open()),
        "anomalies_missed": len(loops.open()),
        "events": warm + end["sent"],
        "stored": stored,
        "inserts": inserts,
        "worker_cpu_percent": rounded(100 * (after[0] - before[0]) / seconds),
        "sink_cpu_percent": rounded(100 * (after[1] - before[1]) / seconds),
    }
    problems = []
    if figures["rows_missed"] or figures["anomalies_missed"] or stored != figures["events"]:
        problems.append(
            f"delay: {figures['rows_missed']} rows and {figures['anomalies_missed']} anomalies never came; "
            f"{figures['events']:,} events were sent, {stored:,} are stored"
        )
    return Result("delay", figures, problems=tuple(problems))


def waits(rows: Waiting, loops: Waiting) -> Callable[[dict[str, Any]], None]:
    """What to do with each line of a sender."""

    def note(line: dict[str, Any]) -> None:
        if "wait" not in line:
            return
        if line["wait"] == "row":
            rows.sent(line["event_id"] + line["run_id"], line["at"])
        else:
            loops.sent(line["run_id"], line["at"])

    return note


def _wait_for_last(rows: Waiting, loops: Waiting) -> None:
    deadline = time.monotonic() + LAST_S
    while (rows.open() or loops.open()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _settled(client: Client, settings: Settings, wanted: int) -> tuple[int, int, int]:
    """As `events_in`, once all are there or there was time enough."""
    deadline = time.monotonic() + LAST_S
    while True:
        found = events_in(client, settings)
        if found[0] >= wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _watch_rows(client: Client, settings: Settings, rows: Waiting, stop: threading.Event) -> None:
    query = (
        f"SELECT concat(event_id, run_id) FROM {quoted(settings.database)}.events "
        "WHERE run_id IN {runs:Array(String)} AND event_id IN {events:Array(String)}"
    )
    while not stop.wait(ASK_PAUSE_S):
        if names := rows.open():
            asked = {"events": [name[:36] for name in names], "runs": [name[36:] for name in names]}
            found = client.query(query, parameters=asked).result_columns
            now = time.time()
            for name in found[0] if found else ():
                rows.seen(name, now)


def watch_loops(settings: Settings, loops: Waiting, stop: threading.Event) -> None:
    """Notes when anomalies of loops came, until `stop` is set."""
    topic, schema = settings.topic(ANOMALIES.name), load("anomaly")
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "bench-anomalies", "enable.auto.commit": False}
        # Answered as soon as there is one.
        | {"fetch.wait.max.ms": 500, "fetch.min.bytes": 1, "log_level": 0}
    )
    try:
        end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
        consumer.assign([TopicPartition(topic, 0, end)])
        while not stop.is_set():
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            now = time.time()
            anomaly = decode_body(split(message.value())[1], schema)
            if anomaly["rule"].startswith("loop."):
                loops.seen(anomaly["run_id"], now)
    finally:
        consumer.close()


class Watcher:
    """A thread that looks until it is told to stop, and whose trouble is the caller's."""

    def __init__(self, look: Callable[[threading.Event], None]) -> None:
        self._look = look
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="bench-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._look(self._stop)
        except Exception as error:
            self._error = error

    def stop(self) -> None:
        """Raises what the thread raised."""
        self._stop.set()
        self._thread.join(30)
        if self._error is not None:
            raise BenchError(f"delay: {self._error}") from self._error
