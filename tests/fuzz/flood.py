"""Malformed messages by the million through worker and sink as production starts them.

`python -m tests.fuzz.flood --bad 1000000 --good 1000000` starts servers of its own, lets good events alone through,
then good and malformed ones mixed, then good ones alone once more; each time what stands in the topics is drained. It
ends with code 0 where every malformed message is a dead letter with its own bytes and place, every good event is stored
once, and good ones went through at no less than half of what they do alone. Settings of the limit of dead letters are
the usual ones.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from runwatch.bench.child import Child
from runwatch.bench.databases import database
from runwatch.bench.fleet import FleetShape, Plan
from runwatch.bench.machine import machine
from runwatch.bench.messages import Writer
from runwatch.bench.meter import Meter
from runwatch.bench.servers import Servers, running
from runwatch.config import Settings
from runwatch.schemas.avro import load
from runwatch.sinks.ddl import quoted

from .malformed import EVENT, Maker

OTHERS = {"windows": "window_part", "anomalies": "anomaly", "control": "control", "snapshots": "snapshot"}
"""The other topics whose bad messages are kept, and what their values are."""
OTHERS_SHARE = 0.005
"""Part of the malformed that each of them has: alone there, so few enough that nobody stops reading it."""
LIVE_PER_S = 20_000
MOST_S = 3_600.0
SETTLE_S = 180.0

Place = tuple[str, int]


@dataclass
class Sent:
    """What stands in the topics."""

    good: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    letters: defaultdict[Place, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """Topic and partition → offset → CRC-32 of each malformed message's bytes."""
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def bad(self) -> int:
        return self.kinds.total()

    def note(self, error: Any, message: Any) -> None:
        """A malformed message's delivery."""
        if error is not None:
            self.failed[error.str()] += 1
            return
        self.letters[message.topic(), message.partition()][message.offset()] = zlib.crc32(message.value() or b"")


def mixed(good: Iterator[tuple[bytes, bytes]], count: int, bad: int, rng: random.Random) -> Iterator[tuple[bytes, Any]]:
    """Key and value of each good message, and places, at random, of `bad` others: there the value is None."""
    left = bad
    for place, (key, value) in enumerate(good):
        while left and rng.random() < left / (left + count - place):
            left -= 1
            yield key, None
        yield key, value
    for _ in range(left):
        yield b"last", None


def fill(settings: Settings, good: int, bad: int, seed: int) -> Sent:
    """Puts them into the topics."""
    rng, sent = random.Random(seed), Sent(good)
    plan = Plan(FleetShape(events=good, seed=seed))
    writer = Writer(plan, int((time.time() - good / LIVE_PER_S) * 1000), LIVE_PER_S)
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 500_000,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
    )

    def put(topic: str, value: bytes | None, key: bytes, **more: Any) -> None:
        while True:
            try:
                producer.produce(settings.topic(topic), value, key, **more)
                return
            except BufferError:
                producer.poll(0.05)

    def put_bad(topic: str, maker: Maker, key: bytes) -> None:
        kind, value = maker.make()
        if topic == "control" and value is None:
            kind, value = maker.make("text")  # None there takes a command back, and is as it should be
        sent.kinds[kind] += 1
        put(topic, value, key, on_delivery=sent.note)

    of_others = int(bad * OTHERS_SHARE)
    for topic, name in OTHERS.items():
        maker = Maker(load(name), {}, rng)
        for _ in range(of_others):
            put_bad(topic, maker, b"fleet")
        producer.poll(0)
    events = Maker(load("agent_event"), EVENT, rng)
    for at, (key, value) in enumerate(mixed(writer.messages(0, good), good, bad - of_others * len(OTHERS), rng)):
        if value is None:
            put_bad("events", events, key)
        else:
            put("events", value, key)
        if at % 5_000 == 0:
            producer.poll(0)
    left = producer.flush(120)
    if left or sent.failed:
        raise SystemExit(f"the broker did not take {left} messages: {sent.failed}")
    return sent


def drain(servers: Servers, settings: Settings, sent: Sent, tell: Any) -> dict[str, float]:
    """Starts the worker and the sink, and watches them through the events. Events a second that are good, each."""
    meter = Meter(settings.kafka, settings.topic("events"), {})
    groups = {"process": f"{settings.prefix}runwatch-processors", "sink": f"{settings.prefix}runwatch-sink"}
    rates: dict[str, float] = {}
    with database(settings) as client, ThreadPoolExecutor(2) as pool:
        # One after the other: the two would share what CPU there is, and the one that is through leaves it the other.
        for name, group in groups.items():
            with servers.part(name, settings) as child:
                track = pool.submit(meter.follow, group, child, most_s=MOST_S).result()
                figures = track.figures()
                rates[name] = float(figures["events_per_s"]) * sent.good / meter.total
                rates[f"{name}_peak_rss_mib"] = float(figures["peak_rss_mib"])
                if name == "sink":
                    check(client, settings, sent, child, tell)
    return rates


def check(client: Any, settings: Settings, sent: Sent, sink: Child, tell: Any) -> None:
    """Waits until ClickHouse has what was sent; ends the program where it does not come to that."""
    name = quoted(settings.database)
    deadline, before = time.monotonic() + SETTLE_S, -1
    while True:
        sink.check()
        (letters,) = client.query(f"SELECT count() FROM {name}.dead_letters").result_rows[0]
        if letters >= sent.bad:
            break
        if letters > before:
            deadline, before = time.monotonic() + SETTLE_S, letters
        if time.monotonic() > deadline:
            raise SystemExit(f"{letters:,} dead letters of {sent.bad:,} malformed messages, and no more come")
        time.sleep(1)
    events = client.query(f"SELECT count(), uniqExact(event_id) FROM {name}.events").result_rows[0]
    if events != (sent.good, sent.good):
        raise SystemExit(f"{sent.good:,} good events were sent; stored are (rows, different ones) {events}")
    stored: defaultdict[Place, dict[int, int]] = defaultdict(dict)
    question = f"SELECT topic, partition, offset, CRC32(ifNull(value, '')) FROM {name}.dead_letters"
    for topic, partition, offset, crc in client.query(question).result_rows:
        stored[topic, partition][offset] = crc
    if stored != sent.letters or letters != sent.bad:
        wrong = {place: len(stored[place].items() ^ those.items()) for place, those in sent.letters.items()}
        raise SystemExit(f"{letters:,} dead letters, and not those that were sent; differing by place: {wrong}")
    reasons = client.query(f"SELECT reason, count() FROM {name}.dead_letters GROUP BY reason ORDER BY reason")
    tell(f"  stored once: {sent.good:,} events; dead letters: {letters:,} {dict(reasons.result_rows)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.flood", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bad", type=int, default=1_000_000, help="malformed messages (1,000,000)")
    parser.add_argument("--good", type=int, default=1_000_000, help="good events beside them (1,000,000)")
    parser.add_argument("--seed", type=int, default=None, help="of what is malformed how; else a new one")
    parser.add_argument("--folder", type=Path, default=None, help="where the servers keep their data meanwhile")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    tell(f"seed {seed}")
    rates: dict[str, dict[str, float]] = {}
    kinds: Counter[str] = Counter()
    with running(options.folder or Path(tempfile.gettempdir()), tell) as servers:
        for name, bad in (("alone", 0), ("mixed", options.bad), ("alone again", 0)):
            word = name.replace(" ", "-")
            settings = servers.settings(f"{word}.", word.replace("-", "_"))
            sent = fill(settings, options.good, bad, seed)
            kinds += sent.kinds
            tell(f"{name}: {sent.good:,} good and {sent.bad:,} malformed messages stand there")
            rates[name] = drain(servers, settings, sent, tell)
            tell(f"  {', '.join(f'{what} {value:,.0f}' for what, value in rates[name].items())}")
    ratios = {
        part: rates["mixed"][part] / ((rates["alone"][part] + rates["alone again"][part]) / 2)
        for part in ("process", "sink")
    }
    print(
        json.dumps(
            {
                "seed": seed,
                "good": options.good,
                "malformed": kinds.total(),
                "kinds": dict(kinds),
                "good_events_per_s": rates,
                "mixed_to_alone": ratios,
                "machine": machine(),
            },
            default=str,
        )
    )
    if slow := {part: ratio for part, ratio in ratios.items() if ratio < 0.5}:
        tell(f"good events went through at less than half their rate alone: {slow}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
