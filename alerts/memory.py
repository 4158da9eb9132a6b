"""What receivers were told of, in a compacted topic: who takes over, or begins again, does not say it twice.

The key is `RECEIVER/ANOMALY_ID`, the value the anomaly as the receiver was last told of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from ..schemas.anomalies import Anomaly
from ..schemas.avro import load
from ..schemas.errors import RunwatchError
from ..schemas.events import epoch_ms
from ..schemas.registry import Registry
from ..schemas.wire import WireError, decode_body, encode, split

WRITE_S = 15.0
READ_S = 60.0
_TIMES = ("ts_ms", "onset_ms", "detected_ms")


class NotRemembered(RunwatchError):
    """What receivers were told cannot be read or written; the message says why."""


def read_anomaly(value: bytes | None, registry: Registry) -> Anomaly:
    """An anomaly from a message. Raises `WireError`, and `RegistryError` where the registry is away."""
    schema_id, body = split(value)
    record = decode_body(body, registry.schema_of(schema_id), load("anomaly"))
    record.update({name: epoch_ms(record[name]) for name in _TIMES if record[name] is not None})
    record["seqs"] = tuple(record["seqs"])
    return Anomaly(**record)


class Memory:
    """The topic. Any thread may write."""

    def __init__(self, config: Mapping[str, Any], topic: str, registry: Registry) -> None:
        """`config` is librdkafka's, with `bootstrap.servers`."""
        self._config = dict(config)
        self._topic = topic
        self._registry = registry
        self._producer = Producer(
            {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "message.timeout.ms": int(WRITE_S * 1000),
                "allow.auto.create.topics": False,
                "log_level": 0,
                **self._config,
            }
        )

    def remember(self, receiver: str, anomalies: Iterable[Anomaly]) -> None:
        """Notes that the receiver was told, and waits until the broker has it. Raises `NotRemembered`."""
        schema = load("anomaly")
        schema_id = self._registry.id_of(schema, self._topic)
        trouble: list[str] = []
        came: list[bool] = []
        sent = 0

        def arrived(error: KafkaError | None, _: Message | None) -> None:
            # In whichever thread polls: to append is one step, to count would be several.
            came.append(True)
            if error is not None:
                trouble.append(error.str())

        for anomaly in anomalies:
            value = encode(anomaly.to_record(), schema, schema_id)
            while True:
                try:
                    self._producer.produce(self._topic, value, _key(receiver, anomaly.anomaly_id), on_delivery=arrived)
                    sent += 1
                    break
                except BufferError:
                    self._producer.poll(0.1)
        deadline = time.monotonic() + WRITE_S + 1
        while len(came) < sent and time.monotonic() < deadline:
            self._producer.poll(0.05)
        if trouble or len(came) < sent:
            why = trouble[0] if trouble else "the broker does not answer"
            raise NotRemembered(f"What receivers were told cannot be noted in {self._topic} ({why}); is Kafka up?")

    def told(self, receiver: str) -> Iterator[Anomaly]:
        """What the receiver was told of, oldest first. Raises `NotRemembered`."""
        consumer = Consumer(
            {
                # Of no meaning where partitions are assigned by hand.
                "group.id": "runwatch-alerts-memory",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "log_level": 0,
                **self._config,
            }
        )
        try:
            yield from self._read(consumer, f"{receiver}/".encode())
        except KafkaException as error:
            raise self._unread(error.args[0].str()) from None
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, prefix: bytes) -> Iterator[Anomaly]:
        deadline = time.monotonic() + READ_S
        found = consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        if found.error is not None:
            raise self._unread(found.error.str())
        left = set(found.partitions)
        consumer.assign([TopicPartition(self._topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            if time.monotonic() > deadline:
                raise self._unread(f"not read after {READ_S:.0f} s")
            for message in consumer.consume(1_000, 0.5):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        left.discard(message.partition())
                    elif error.fatal():
                        raise self._unread(error.str())
                elif (message.key() or b"").startswith(prefix) and message.value() is not None:
                    try:
                        yield read_anomaly(message.value(), self._registry)
                    except WireError:
                        continue  # not ours

    def _unread(self, why: str) -> NotRemembered:
        return NotRemembered(f"What receivers were told cannot be read from {self._topic} ({why}); is Kafka up?")


def _key(receiver: str, anomaly_id: str) -> bytes:
    return f"{receiver}/{anomaly_id}".encode()
