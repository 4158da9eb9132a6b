"""A clean run: the detectors over the log of the event topic, from its first message to its last, undisturbed.

Over the log, and not over the store: of an event that was sent twice the store keeps the later copy, and `runwatch
backtest`, which reads there, meets such an event later than whoever reads the stream.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runwatch.config import Settings
from runwatch.processors.frames import Frame
from runwatch.processors.replay import stretch_start
from runwatch.processors.rules import Rules
from runwatch.processors.rules_file import load as load_rules
from runwatch.processors.watch import EventWatch
from runwatch.schemas.registry import open_registry
from runwatch.schemas.topics import EVENTS

AT_ONCE = 10_000
SILENT_S = 30.0


def loops_of_the_log(settings: Settings) -> set[tuple[str, str]]:
    """(id, rule) of the loops and runaways in the event topic. Raises `KafkaException` where it falls silent."""
    rules = load_rules(settings.rules)
    found: set[tuple[str, str]] = set()
    for partition in range(settings.partitions):
        # A partition at a time: of one all runs are forgotten before the next.
        watch = EventWatch(open_registry(settings.registry), rules)
        for frame in _frames(settings, partition, rules):
            found |= {(one.anomaly_id, one.rule) for one in watch.take(frame).anomalies}
    return found


def _frames(settings: Settings, partition: int, rules: Rules) -> Iterator[Frame]:
    for batch in _batches(settings, TopicPartition(settings.topic(EVENTS.name), partition)):
        while batch:
            ends = stretch_start(_log_ms(batch[0]), rules.windows.stretch) + rules.windows.stretch
            cut = bisect_left(batch, ends, key=_log_ms)
            some, batch = batch[: max(1, cut)], batch[max(1, cut) :]
            yield Frame(
                settings.topic(EVENTS.name), partition,
                [message.value() for message in some], [message.offset() or 0 for message in some], _log_ms(some[-1]),
            )  # fmt: skip


def _batches(settings: Settings, place: TopicPartition) -> Iterator[list[Message]]:
    """The partition's messages, as far as it goes now."""
    options = {"group.id": "chaos-clean", "enable.auto.commit": False, "log_level": 0, "fetch.min.bytes": 100_000}
    with closing(Consumer(settings.kafka_client(**options))) as consumer:
        at, end = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([TopicPartition(place.topic, place.partition, at)])
        while at < end:
            batch = [message for message in consumer.consume(AT_ONCE, SILENT_S) if message.error() is None]
            if not batch:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{place.topic} is silent at {at} of {end}"))
            at = (batch[-1].offset() or 0) + 1
            yield batch


def _log_ms(message: Message) -> int:
    return int(message.timestamp()[1])
