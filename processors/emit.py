"""What the processors say, into their topics: encoded, sent, and known to have arrived."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ..schemas.avro import load
from ..schemas.errors import RunwatchError
from ..schemas.registry import Registry
from ..schemas.wire import encode

log = logging.getLogger("runwatch.processors")

Delivered = Callable[[KafkaError | None, Message | None], None]
Headers = Callable[[str, bytes, bytes | None], list[tuple[str, bytes]]]
"""Topic, key and value to a message's headers."""
_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE)


class EmitError(RunwatchError):
    """A message could not be delivered: which topic, and why."""


class Encoder:
    """Records of one schema as messages of one topic."""

    def __init__(self, name: str, topic: str, registry: Registry) -> None:
        self._schema = load(name)
        self._registry = registry
        self.topic = topic

    def __call__(self, record: Mapping[str, Any], key: str) -> tuple[bytes, bytes]:
        # The registry is asked at the first message, not at start: it may come up later than we do.
        schema_id = self._registry.id_of(self._schema, self.topic)
        return key.encode(), encode(record, self._schema, schema_id)


class Emitter:
    """Kafka, by a producer of its own.

    librdkafka instead of Faust's producer: thousands of window parts a second cost it microseconds each.
    """

    def __init__(self, config: Mapping[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._producer = Producer(
            {
                "linger.ms": 2,
                "compression.type": "lz4",
                "enable.idempotence": True,
                # As Kafka's Java clients and Faust do it: equal keys meet in the same partition.
                "partitioner": "murmur2_random",
                "message.timeout.ms": 120_000,
                # Beyond this the sender waits; librdkafka's own is a gigabyte.
                "queue.buffering.max.kbytes": 64 << 10,
                **config,
            }
        )
        self._loop = loop
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="runwatch-emit", daemon=True)
        self._poller.start()

    def meet(self, topics: Iterable[str], timeout_s: float = 10.0) -> None:
        """Gets to know where these topics are, for which the first message would have to wait. Blocks."""
        with suppress(KafkaException):  # then the first message waits
            for topic in topics:
                self._producer.list_topics(topic, timeout_s)

    def send(
        self, topic: str, messages: Iterable[tuple[bytes, bytes | None]], headers: Headers | None = None
    ) -> asyncio.Future[None]:
        """Sends (key, value) pairs; the future is done when every one has arrived, or has an `EmitError`.

        A value that is None takes away what a compacted topic holds of the key. `headers` makes each message's.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        batch = list(messages)
        left = len(batch)
        if not left:
            done.set_result(None)
            return done
        failed: list[str] = []
        lock = threading.Lock()

        def delivered(error: KafkaError | None, _message: Message | None) -> None:
            nonlocal left
            with lock:
                left -= 1
                if error is not None and error.code() in _TOO_LARGE:
                    # It will never fit, and to stop for it would be to stop for good.
                    log.error("A message to %s was left out: %s", topic, error.str())
                elif error is not None:
                    failed.append(error.str())
                last = left == 0
            if last and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._settle, done, topic, failed)

        for key, value in batch:
            self._produce(topic, key, value, delivered, headers(topic, key, value) if headers else None)
        return done

    def _produce(
        self, topic: str, key: bytes, value: bytes | None, delivered: Delivered, headers: list[tuple[str, bytes]] | None
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=delivered, headers=headers or [])
                return
            except BufferError:
                # The queue is full: the broker is slower than we are, so we are as slow as the broker.
                self._producer.poll(0.05)
            except KafkaException as error:
                delivered(error.args[0], None)
                return

    @staticmethod
    def _settle(done: asyncio.Future[None], topic: str, failed: list[str]) -> None:
        if done.done():
            return
        if failed:
            done.set_exception(EmitError(f"{len(failed)} messages to {topic} were not delivered: {failed[0]}"))
        else:
            done.set_result(None)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)

    def close(self, timeout_s: float = 10.0) -> int:
        """Sends what is queued; returns how many messages were not delivered in time."""
        self._closing.set()
        self._poller.join(timeout=1)
        try:
            return int(self._producer.flush(timeout_s))
        except KafkaException:
            return len(self._producer)
