"""Recorded runs from files into the event topic, with every event's delivery confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schemas import avro
from ..schemas.errors import RunwatchError
from ..schemas.registry import Registry, open_registry
from .encoding import EventEncoder
from .openai_messages import BASE_MS
from .reading import STDIN, open_source
from .recorded import iter_events
from .rejects import Reject, RejectFiles
from .transport import KafkaTransport, Message, Transport

BATCH = 1_000
QUEUE_SIZE = 50_000
STALL_S = 20.0
"""A broker that has taken nothing for so long is away."""
CHECK_S = 10.0
"""How long a broker may take to answer whether it has the topic."""

Progress = Callable[[int, int | None], None]
"""Told the bytes read of all files so far, and how many there are, where that is known."""


class ImportingError(RunwatchError):
    """An import that had to end early; the message says why, how far it came, and what to do."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did."""

    events: int
    """Events read."""
    runs: int
    """Different runs among them."""
    delivered: int
    """Events that the broker confirmed."""
    failed: int
    """Events that the broker refused for good."""
    rejected: int
    """Lines that were no events."""
    rejects: list[Reject]
    """The first of these."""
    rejected_files: list[Path]
    """Where all of these are."""
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether everything that the files held has been delivered."""
        return not self.rejected and self.delivered == self.events


def import_files(
    paths: Sequence[str | Path],
    *,
    kafka: str,
    prefix: str = "",
    registry: str | Registry | None = None,
    form: str = "events",
    agent: str | None = None,
    base_ms: int = BASE_MS,
    progress: Progress | None = None,
    transport: Transport | None = None,
    kafka_config: Mapping[str, Any] | None = None,
) -> ImportReport:
    """Sends the events of all files to the topic `PREFIXagent.events` of the broker at `kafka`.

    The same files twice give the same events with the same `event_id`s. Lines that are no events go to
    `FILE.rejected.jsonl`. See `iter_events` for `form`, `agent` and `base_ms`. Raises `ReadingError`
    before anything is sent where a file cannot be read, and `ImportingError` where the broker is away or
    lacks the topic.
    """
    began = time.monotonic()
    names = [str(path) for path in paths]
    meter = _Meter(_total_size(names), progress)
    topic = f"{prefix}agent.events"
    known = open_registry(registry) if registry is None or isinstance(registry, str) else registry
    schema = avro.load("agent_event")
    if transport is None:
        _check_topic(kafka, topic, kafka_config)
        transport = KafkaTransport(kafka, topic, queue_size=QUEUE_SIZE, tell=_ignore, extra=kafka_config)
    out = _Outbox(transport, kafka)
    delivered_before, failed_before, _ = transport.counts()
    encode = EventEncoder(schema, known.id_of(schema, topic))
    runs: set[int] = set()
    events = 0
    with RejectFiles() as rejects:
        for name in names:
            for event in iter_events(name, form, on_reject=rejects, progress=meter.add, agent=agent, base_ms=base_ms):
                events += 1
                runs.add(hash(event.run_id))
                out.add((event.run_id.encode(), encode(event)))
        out.finish()
    delivered, failed, _ = transport.counts()
    return ImportReport(
        events=events,
        runs=len(runs),
        delivered=delivered - delivered_before,
        failed=failed - failed_before,
        rejected=rejects.count,
        rejects=rejects.shown,
        rejected_files=rejects.paths,
        seconds=time.monotonic() - began,
    )


class _Meter:
    """How far all files together have been read."""

    def __init__(self, total: int | None, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, size: int) -> None:
        self._done += size
        if self._progress:
            self._progress(self._done, self._total)


class _Outbox:
    """Hands messages on in batches, waits where the broker is slower than the file, but not for ever."""

    def __init__(self, transport: Transport, kafka: str) -> None:
        self._transport = transport
        self._kafka = kafka
        self._waiting: list[Message] = []
        self._settled = 0
        self._settled_at = time.monotonic()

    def add(self, message: Message) -> None:
        self._waiting.append(message)
        if len(self._waiting) >= BATCH:
            self._hand_over()

    def finish(self) -> None:
        """Returns once each message is delivered, or refused for good. Raises `ImportingError`."""
        self._hand_over()
        self._settled_at = time.monotonic()
        while self._transport.flush(0.25):
            self._check()

    def _hand_over(self) -> None:
        while self._waiting:
            taken = self._transport.send(self._waiting)
            del self._waiting[:taken]
            if taken:
                self._settled_at = time.monotonic()
            else:
                self._transport.serve(0.02)
                self._check()

    def _check(self) -> None:
        delivered, failed, _ = self._transport.counts()
        if delivered + failed > self._settled:
            self._settled, self._settled_at = delivered + failed, time.monotonic()
        elif time.monotonic() - self._settled_at > STALL_S:
            raise ImportingError(
                f"The Kafka broker at {self._kafka} has taken nothing for {STALL_S:.0f} s; {delivered:,} events had"
                " arrived before. Is it up? The same import again stores no event twice."
            )


def _total_size(names: Sequence[str]) -> int | None:
    """The size of all files in bytes; None where one of them is no file. Raises `ReadingError`."""
    total: int | None = 0
    for name in names:
        if name == STDIN:
            total = None
            continue
        # Opened, not only asked for its size: a file that may not be read is to be told now.
        with open_source(name) as file:
            size = Path(name).stat().st_size
            total = None if total is None or not file.seekable() else total + size
    return total


def _check_topic(kafka: str, topic: str, kafka_config: Mapping[str, Any] | None) -> None:
    """Raises `ImportingError` where the broker does not answer or does not have the topic."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    config = {"bootstrap.servers": kafka, "log_level": 0, "allow.auto.create.topics": False, **(kafka_config or {})}
    try:
        found = AdminClient(config).list_topics(topic, timeout=CHECK_S).topics.get(topic)
    except KafkaException as error:
        raise ImportingError(
            f"The Kafka broker at {kafka} does not answer ({error.args[0].str()}). Is the address right, and is it up?"
        ) from error
    if found is None or found.error is not None:
        raise ImportingError(
            f"The Kafka broker at {kafka} has no topic {topic}. Is the prefix right? `runwatch up` makes the topics."
        )


def _ignore(kind: str, message: str, *values: object) -> None:
    """What the transport would tell an agent's log, the report and the errors here tell."""
