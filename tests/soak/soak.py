"""An hour at a steady rate: `python -m tests.soak.soak --minutes 60 --rate 5000`.

The whole local stack as `runwatch up` starts it, alerts told to a receiver here, and the console asked all the time.
Prints, every minute and in the end, each process's memory and open files. It ends with code 0 where all that was sent
is stored once, no reader is behind, nothing was started anew, and (after half an hour and more) memory and open files
are flat: see `slope.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
from confluent_kafka import Consumer, TopicPartition

from runwatch.bench.machine import machine
from runwatch.bench.paced import Pace
from runwatch.config import Settings, load
from runwatch.console.access import tokens
from runwatch.sinks.query import Reader
from runwatch.stack import lifecycle
from runwatch.stack.ports import any_free
from runwatch.stack.services import USUAL, Options

from .slope import Sample, trend

EVERY_S = 5.0
TELL_S = 60.0
SLICE_S = 300
"""A sender plans so long ahead; then the next one begins."""
SETTLE_S = 120.0
ASKED = ("/api/fleet", "/api/agents", "/api/incidents", "/api/control", "/health")
GROUPS = {
    "runwatch-processors": ("events", "windows", "fleet", "anomalies"),
    "runwatch-sink": ("events", "windows", "anomalies", "deadletter"),
}


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def receiver(heard: list[int]) -> Iterator[str]:
    """A place for alerts, which counts them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            heard[0] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def running(folder: Path, heard: list[int]) -> Iterator[tuple[Path, str, str]]:
    """All of it: its folder, the console's address, and a token of the console."""
    home = folder / "home"
    home.mkdir()
    with receiver(heard) as url:
        config = folder / "runwatch.yaml"
        config.write_text(f"alerts:\n  receivers:\n    - {{name: here, kind: webhook, url: '{url}'}}\n")
        token = tokens.make(home).viewer
        options = Options(
            home,
            kafka_port=any_free(),
            clickhouse_port=any_free(),
            registry_port=any_free(),
            console_port=any_free(),
            parts=(*USUAL, "alerts"),
            config=str(config),
        )
        found = lifecycle.up(options, tell, detach=True)
        try:
            yield home, found["console"], token
        finally:
            lifecycle.down(home)


def send(settings: Settings, rate: int, seconds: int, stop: threading.Event, sent: list[int]) -> None:
    """Events, a sender after the other. `sent[0]` counts those that have arrived."""
    seed, left = 1, seconds
    while left > 0 and not stop.is_set():
        slice_s = min(left, SLICE_S)
        pace = Pace(settings.kafka, settings.topic("events"), rate * slice_s, rate, 0.1, 0.01, seed)
        command = [sys.executable, "-m", "runwatch.bench.paced", pace.to_json()]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        said = json.loads(done.stdout.splitlines()[-1])
        if said["late_s"] > 1.0:
            tell(f"  the sender was up to {said['late_s']:.1f} s behind its plan")
        sent[0] += said["sent"]
        seed, left = seed + 1, left - slice_s


def ask(console: str, token: str, stop: threading.Event, asked: list[int]) -> None:
    """Asks the console as its pages do. `asked` counts answers, and among them failures."""
    with httpx.Client(base_url=console, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        while not stop.wait(2.0):
            for path in ASKED:
                try:
                    asked[client.get(path).status_code >= 400] += 1
                except httpx.HTTPError:
                    asked[1] += 1


def sampled(home: Path, began_s: float) -> dict[str, Sample]:
    """Each service now, with what it started."""
    found = {}
    for service in lifecycle.status(home).services:
        try:
            its = psutil.Process(service.pid)
            # The supervisor's children are the other services.
            all_of_it = (its, *(its.children(recursive=True) if service.name != "supervisor" else ()))
            found[service.name] = Sample(
                time.monotonic() - began_s,
                sum(one.memory_info().rss for one in all_of_it) / 2**20,
                sum(one.num_fds() for one in all_of_it),
                sum(one.num_threads() for one in all_of_it),
            )
        except psutil.Error:
            continue  # it has just ended: its restart is counted below
    return found


def lag(settings: Settings) -> int:
    """How many messages the worker and the sink have not committed."""
    total = 0
    for group, topics in GROUPS.items():
        consumer = Consumer(settings.kafka_client(**{"group.id": f"{settings.prefix}{group}", "log_level": 0}))
        try:
            known = consumer.list_topics(timeout=20).topics
            places = [
                TopicPartition(settings.topic(topic), number)
                for topic in topics
                for number in known[settings.topic(topic)].partitions
            ]
            for place in consumer.committed(places, timeout=20):
                total += consumer.get_watermark_offsets(place, timeout=20)[1] - max(0, place.offset)
        finally:
            consumer.close()
    return total


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second (5,000)")
    parser.add_argument("--folder", type=Path, default=None, help="where the stack keeps its data meanwhile")
    options = parser.parse_args()
    seconds = round(options.minutes * 60)
    heard, sent, asked = [0], [0], [0, 0]
    stop = threading.Event()
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="runwatch-soak-", dir=options.folder, ignore_cleanup_errors=True) as folder,
        running(Path(folder), heard) as (home, console, token),
    ):
        settings = load(home=home)
        began_s, told_s = time.monotonic(), time.monotonic()
        sender = threading.Thread(target=send, args=(settings, options.rate, seconds, stop, sent))
        asker = threading.Thread(target=ask, args=(console, token, stop, asked))
        for thread in (sender, asker):
            thread.start()
        try:
            while sender.is_alive():
                sender.join(EVERY_S)
                for name, sample in sampled(home, began_s).items():
                    samples[name].append(sample)
                if time.monotonic() - told_s >= TELL_S:
                    told_s = time.monotonic()
                    now = ", ".join(f"{name} {its[-1].rss_mib:.0f}/{its[-1].handles}" for name, its in samples.items())
                    tell(
                        f"{(told_s - began_s) / 60:.0f} min, {sent[0]:,} sent, lag {lag(settings):,}; MiB/files: {now}"
                    )
        finally:
            stop.set()
            asker.join()
        # Windows come after events, and are read in their turn; a worker says something every few seconds.
        until(lambda: lag(settings) < options.rate // 10, SETTLE_S)
        reader = Reader(settings)
        until(lambda: reader.sql("SELECT count() FROM events").rows[0][0] >= sent[0], SETTLE_S)
        ((stored, different),) = reader.sql("SELECT count(), uniqExact(event_id) FROM events").rows
        left = lag(settings)
        services = lifecycle.status(home).services
    trends = {name: trend(its) for name, its in samples.items() if len(its) > 1}
    for name, one in trends.items():
        tell(
            f"{name:12} {one.first_mib:7.0f} → {one.last_mib:.0f} MiB (most {one.most_mib:.0f}), "
            f"{one.mib_per_hour:+.1f} MiB/h; {one.handles} files, {one.handles_per_hour:+.1f}/h; {one.threads} threads"
        )
    faults = [f"{name}: {one.fault}" for name, one in trends.items() if one.fault]
    faults += [f"{one.name} was started anew {one.restarts} times" for one in services if one.restarts]
    if (stored, different) != (sent[0], sent[0]) or not sent[0]:
        faults.append(f"{sent[0]:,} events were sent; stored are {stored:,} rows, {different:,} different ones")
    if left >= options.rate // 10:
        faults.append(f"{left:,} messages were not read in the end")
    if asked[1]:
        faults.append(f"the console failed to answer {asked[1]} of {sum(asked)} questions")
    figures = {"minutes": options.minutes, "rate": options.rate, "sent": sent[0], "stored": stored, "lag": left}
    figures |= {"alerts": heard[0], "console_answers": sum(asked), "faults": faults, "machine": machine()}
    print(json.dumps({**figures, "processes": {name: asdict(one) for name, one in trends.items()}}))
    for fault in faults:
        tell(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
