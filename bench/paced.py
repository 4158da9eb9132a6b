"""A fleet at a steady rate: `python -m runwatch.bench.paced`, settings as one JSON object in its argument.

Sends each event at its time, with the SDK's settings of the producer, and says on standard output which
events are to be waited for, a JSON object a line: `{"wait": "row", "run_id", "event_id", "at"}` or
`{"wait": "loop", "run_id", "at"}`, `at` being the moment before the produce call, seconds of the system's
clock. The last line is `{"sent": events, "seconds": …, "late_s": …}`, `late_s` the worst delay behind the
plan.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka import Producer

from ..producers.transport import kafka_config
from ..schemas.wire import HEADER_BYTES
from .errors import BenchError
from .fleet import FleetShape, Plan
from .messages import Writer

TICK_S = 0.002
"""Events that are due within so long are sent together."""
CHUNK = 10_000
_ID = slice(HEADER_BYTES + 1, HEADER_BYTES + 37)
"""Where a message holds its event's id: it is the first field, 36 letters long."""


@dataclass(frozen=True)
class Pace:
    """What is sent, and how fast."""

    kafka: str
    topic: str
    events: int
    rate: int
    rows_per_s: float
    """How many events a second are waited for as rows."""
    loop_share: float
    seed: int
    aged_s: float = 0.0
    """So much of it is there from the start: sent at once, with the log times that it would have. Then and only then
    log times are told the broker, whose topic must take them."""
    open_runs: int | None = None
    """Runs that go on at a time; two seconds' worth of events where nothing is said."""
    tools: int = 50
    """Tools that each agent uses."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def send(pace: Pace, say: Callable[[dict[str, Any]], None]) -> None:
    """Sends everything. Raises `BenchError` where the broker does not take it."""
    open_runs = pace.open_runs or 2 * pace.rate
    shape = FleetShape(
        events=pace.events, tools=pace.tools, open_runs=open_runs, loop_share=pace.loop_share, seed=pace.seed
    )
    plan = Plan(shape)
    # What the SDK collects in its sender, librdkafka collects here.
    producer = Producer(kafka_config(pace.kafka, 100_000, {"linger.ms": 5}))
    every = max(1, round(pace.rate / pace.rows_per_s))
    # The ids of the runs and the first connection take a moment.
    producer.list_topics(pace.topic, timeout=10)
    start = time.time() + 1.0 - pace.aged_s
    writer = Writer(plan, int(start * 1000), pace.rate)
    place, late_s = _send_aged(pace, writer, producer, start), 0.0
    aged = place
    if aged:
        say({"aged": aged, "at": time.time()})
    while place < pace.events:
        due = min(pace.events, int((time.time() - start) * pace.rate) + 1)
        if due <= place:
            producer.poll(TICK_S)
            continue
        for key, value in writer.messages(place, due):
            now = time.time()
            producer.produce(pace.topic, value, key, **_log_time(pace, start, place))
            if place % every == 0:
                say({"wait": "row", "run_id": key.decode(), "event_id": value[_ID].decode(), "at": now})
            if plan.completes[place]:
                say({"wait": "loop", "run_id": key.decode(), "at": now})
            if place >= aged:
                late_s = max(late_s, now - start - place / pace.rate)
            place += 1
        producer.poll(0)
        time.sleep(TICK_S)
    seconds = time.time() - start
    if left := producer.flush(30):
        raise BenchError(f"the broker did not take {left} events")
    say({"sent": place, "seconds": seconds, "late_s": late_s})


def _log_time(pace: Pace, start: float, place: int) -> dict[str, int]:
    """What the broker is told of when the event at that place came, where it is told."""
    return {"timestamp": int(1000 * (start + place / pace.rate))} if pace.aged_s else {}


def _send_aged(pace: Pace, writer: Writer, producer: Producer, start: float) -> int:
    """Sends what is to be there from the start, and what became due meanwhile; returns how many events it was."""
    place = 0
    while pace.aged_s and (due := min(pace.events, int((time.time() - start) * pace.rate) + 1)) - place > pace.rate:
        for key, value in writer.messages(place, min(due, place + CHUNK)):
            while True:
                try:
                    producer.produce(pace.topic, value, key, **_log_time(pace, start, place))
                    break
                except BufferError:
                    producer.poll(0.05)
            place += 1
        producer.poll(0)
    return place


def main() -> None:
    send(Pace(**json.loads(sys.argv[1])), lambda line: print(json.dumps(line), flush=True))


if __name__ == "__main__":
    main()
