"""How the alerts are, for the log and for `runwatch status`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from confluent_kafka import KafkaException, Producer

from ..config import Settings
from ..schemas.avro import load
from ..schemas.health import Health, this_worker
from ..schemas.registry import Registry, RegistryError
from ..schemas.topics import HEALTH
from ..schemas.wire import encode
from .deliver import Stats

log = logging.getLogger(__name__)

PART = "alerts"
EVERY_S = 5.0
LOG_EVERY_S = 300.0


def counts(stats: Mapping[str, Stats]) -> dict[str, int]:
    """Over all receivers, by the names that `runwatch status` knows."""
    return {
        "alerts_sent": sum(one.sent for one in stats.values()),
        "alerts_failed": sum(one.failed for one in stats.values()),
        "alerts_given_up": sum(one.given_up for one in stats.values()),
        "alerts_waiting": sum(one.waiting for one in stats.values()),
        "alerts_away": sum(one.is_away for one in stats.values()),
        "alerts_receivers": len(stats),
    }


class Reporter:
    """Says every few seconds how it is."""

    def __init__(self, settings: Settings, registry: Registry, stats: Mapping[str, Stats]) -> None:
        self._topic = settings.topic(HEALTH.name)
        self._registry = registry
        self._stats = stats
        self._started_ms = int(time.time() * 1000)
        self._producer = Producer(
            {
                **settings.kafka_client(),
                "partitioner": "murmur2_random",
                # The next report is as good.
                "message.timeout.ms": int(EVERY_S * 1000),
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        logged = time.monotonic()
        while True:
            self._send()
            if stop.wait(EVERY_S):
                break
            if time.monotonic() - logged >= LOG_EVERY_S:
                logged = time.monotonic()
                log.info("%s", self.line())
        self._send()
        self._producer.flush(2)
        log.info("%s", self.line())

    def line(self) -> str:
        """The counters in one line of a log."""
        return "; ".join(
            f"{name}: sent {one.sent:,}, failed {one.failed:,}, given up {one.given_up:,}, waiting {one.waiting:,}"
            for name, one in self._stats.items()
        )

    def _send(self) -> None:
        health = Health(this_worker(), PART, int(time.time() * 1000), self._started_ms, counts(self._stats))
        schema = load("health")
        try:
            value = encode(health.to_record(), schema, self._registry.id_of(schema, self._topic))
            self._producer.produce(self._topic, value, health.worker.encode())
            self._producer.poll(0)
        except (KafkaException, BufferError, RegistryError):
            pass  # where Kafka is away, nobody could read it either
