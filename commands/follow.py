"""The anomaly topic, read as it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ..config import Settings
from ..schemas.anomalies import Anomaly
from ..schemas.avro import load
from ..schemas.events import epoch_ms
from ..schemas.registry import open_registry
from ..schemas.topics import ANOMALIES
from ..schemas.wire import WireError, decode_body, split
from .exits import Fail

_TIMES = ("ts_ms", "onset_ms", "detected_ms")


def _unheard(_: str) -> None:
    """For who need not know."""


class AnomalyFeed:
    """Anomalies from now on, in the order in which they are found. A context manager.

    One thread may read and another leave the `with` block: the reader then ends.
    """

    def __init__(
        self, settings: Settings, timeout_s: float = 10.0, on_trouble: Callable[[str], None] = _unheard
    ) -> None:
        """Raises `Fail` where the broker does not answer, or has no such topic.

        `on_trouble` is told when the broker goes away while being read; again only after something was read.
        """
        topic = settings.topic(ANOMALIES.name)
        self._kafka = settings.kafka
        self._tell = on_trouble
        self._away = False
        # librdkafka frees a consumer when it is closed, even while another thread polls it, which is a crash.
        self._using = threading.Lock()
        self._closed = False
        self._registry = open_registry(settings.registry)
        self._reader = load("anomaly")
        self._consumer = Consumer(
            {
                **settings.kafka_client(),
                # No group is joined: the partitions are assigned by hand, and nothing is committed.
                "group.id": "runwatch-follow",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
                # Where librdkafka tells that it lost every broker; messages only carry what is wrong with a partition.
                "error_cb": self._on_error,
            }
        )
        try:
            found = self._consumer.list_topics(topic, timeout=timeout_s).topics[topic]
            if found.error is not None:
                raise Fail(f"The Kafka broker at {settings.kafka} has no topic {topic}; `runwatch process` makes it.")
            # "From now on" is said in offsets: what is found while the connections are made counts.
            ends = [TopicPartition(topic, partition) for partition in found.partitions]
            for place in ends:
                place.offset = self._consumer.get_watermark_offsets(place, timeout=timeout_s)[1]
            self._consumer.assign(ends)
        except KafkaException as error:
            self._consumer.close()
            raise Fail(f"The Kafka broker at {settings.kafka} does not answer; is it up?") from error
        except Fail:
            self._consumer.close()
            raise

    def read(self, stop: Callable[[], bool]) -> Iterator[Anomaly]:
        """Anomalies until `stop` says so, or the feed is closed."""
        while not stop():
            with self._using:
                if self._closed:
                    return
                message = self._consumer.poll(0.1)
            if message is None or message.error():
                continue
            self._away = False
            try:
                schema_id, body = split(message.value())
                record = decode_body(body, self._registry.schema_of(schema_id), self._reader)
            except WireError:
                continue  # the sink keeps it in the dead letters
            record.update({name: epoch_ms(record[name]) for name in _TIMES if record[name] is not None})
            record["seqs"] = tuple(record["seqs"])
            yield Anomaly(**record)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._away:
            self._away = True
            self._tell(f"The Kafka broker at {self._kafka} does not answer any more; waiting for it.")

    def __enter__(self) -> AnomalyFeed:
        return self

    def __exit__(self, *_: object) -> None:
        # First, so that a reader does not begin another poll before we come to our turn.
        self._closed = True
        with self._using:
            self._consumer.close()
