"""The way out: framed messages into a Kafka topic, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ..broker import is_refusal

Message = tuple[bytes, bytes]
"""Key and value."""

_REPLACE_PAUSE_S = 2.0
"""Between one broken producer and the next."""


class Transport(Protocol):
    """What the sender needs of a way out. One thread at a time calls it, but for `counts`."""

    def send(self, messages: Sequence[Message]) -> int:
        """Takes messages in order, as many as there is room for, without waiting; returns how many."""

    def serve(self, timeout_s: float) -> None:
        """Waits up to `timeout_s` for room or news of earlier messages."""

    def flush(self, timeout_s: float) -> int:
        """Waits until all is delivered or the time is up; returns how many messages are still on their way."""

    def counts(self) -> tuple[int, int, int]:
        """Messages delivered, messages that failed for good, messages on their way."""

    def away(self) -> bool:
        """Whether the other side cannot be reached at present, as far as is known."""

    def recall(self) -> list[Message]:
        """Takes back what is not delivered, a key's in order. None of it is sent any more; this is the end of it."""

    def abandon(self) -> None:
        """Lets go in a forked child, where the parent still uses what this holds."""


@runtime_checkable
class Keeper(Transport, Protocol):
    """A way out that keeps what it cannot deliver."""

    def keep(self, rest: Sequence[Message]) -> int:
        """Keeps all that is not delivered for a later process, and behind it what was not sent yet. The end of it.

        Returns how many messages could not be kept.
        """

    def next_s(self) -> float:
        """After how many seconds at the latest it wants to be served again."""

    def note_dropped(self, total: int) -> None:
        """Hears how many were dropped for want of room before they came here, in all."""

    def stats(self) -> dict[str, int]:
        """See `Watch.spool_stats`."""


def kafka_config(bootstrap: str, queue_size: int, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """librdkafka's settings for event producers; `extra` wins, for security and the like."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "runwatch",
        # A resend by librdkafka cannot double or reorder a run's events.
        "enable.idempotence": True,
        # Java's clients and Faust place keys by murmur2; librdkafka would not by default.
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        # The sender hands over what came together already.
        "linger.ms": 1,
        # Bounded by number, not by age: events wait for a broker that is away.
        "message.timeout.ms": 0,
        "queue.buffering.max.messages": max(queue_size, 1_000),
        "queue.buffering.max.kbytes": 65_536,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        # A callback for each delivered message would cost more than the message.
        "delivery.report.only.error": True,
        # A topic made on the way would have one partition and no retention of ours.
        "allow.auto.create.topics": False,
        # librdkafka would write each failed connection to the agent's stderr.
        "log_level": 0,
        **(extra or {}),
    }


class KafkaTransport:
    """Messages into one topic by librdkafka's idempotent producer."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        queue_size: int,
        tell: Callable[..., None],
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`tell(kind, message, *values)` hears of trouble. Raises `KafkaException` on settings that are wrong."""
        import confluent_kafka

        self._kafka = confluent_kafka
        self._bootstrap = bootstrap
        self._topic = topic
        self._tell = tell
        self._config = kafka_config(bootstrap, queue_size, extra)
        self._is_single = False
        """Whether messages go out one by one, after a batch was too large."""
        self._taken = 0
        self._failed = 0
        self._delivered_when_away: int | None = None
        self._is_fatal = False
        self._not_before = 0.0
        self._again: list[Message] = []
        self._producer = self._open()

    def send(self, messages: Sequence[Message]) -> int:
        taken = 0
        for key, value in messages:
            try:
                self._produce(key, value)
            except BufferError:
                break
            except self._kafka.KafkaException as error:
                if error.args[0].code() == self._kafka.KafkaError._FATAL:
                    self._is_fatal = True
                    break
                self._taken += 1
                self._failed_one(error.args[0])
            taken += 1
        self.serve(0)
        return taken

    def serve(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)
        if self._is_fatal and time.monotonic() >= self._not_before:
            self._replace()

    def flush(self, timeout_s: float) -> int:
        self.serve(0)
        return int(self._producer.flush(timeout_s)) + len(self._again)

    def counts(self) -> tuple[int, int, int]:
        # The producer's length also counts requests and callbacks on their way: never too few.
        waiting = max(0, min(len(self._producer), self._taken - self._failed))
        return self._taken - self._failed - waiting, self._failed, waiting + len(self._again)

    def away(self) -> bool:
        return self._delivered_when_away == self.counts()[0]

    def recall(self) -> list[Message]:
        self._producer.purge()
        self._producer.flush(1.0)
        again, self._again = self._again, []
        return again

    def abandon(self) -> None:
        import ctypes

        # To destroy a producer is to join its threads, and a child has none of its parent's threads:
        # one reference more than anyone holds keeps Python from destroying it, at exit too.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))

    def _open(self) -> Any:
        return self._kafka.Producer({**self._config, "error_cb": self._on_error})

    def _produce(self, key: bytes, value: bytes) -> None:
        self._producer.produce(self._topic, value, key, on_delivery=self._on_failure)
        self._taken += 1

    def _replace(self) -> None:
        """A new producer for one that librdkafka declared dead, with the messages that were still in it.

        An idempotent producer dies when the broker forgets it, as a broker does whose data was wiped.
        A message that had arrived all the same is sent twice; its `event_id` tells readers.
        """
        self._not_before = time.monotonic() + _REPLACE_PAUSE_S
        self._is_fatal = False
        self._producer.purge()
        self._producer.flush(1.0)
        self._producer = self._open()
        self._is_single = self._config.get("batch.num.messages") == 1
        again, self._again = self._again, []
        for key, value in again:
            self._produce(key, value)

    def _on_error(self, error: Any) -> None:
        """librdkafka's news of the connection; called from within `poll` and `flush`."""
        codes = self._kafka.KafkaError
        if error.code() == codes._FATAL:
            self._is_fatal = True
        elif error.code() == codes._ALL_BROKERS_DOWN:
            self._delivered_when_away = self.counts()[0]
            self._tell(
                "away",
                "no Kafka broker answers at %s. The agent goes on, and its events wait in memory while there is"
                " room. Is the address right (RUNWATCH_KAFKA, or connect(kafka=...)), and is the broker up?",
                self._bootstrap,
            )
        elif is_refusal(error):
            self._tell("refused", "the Kafka broker at %s refuses this client: %s", self._bootstrap, error.str())

    def _on_failure(self, error: Any, message: Any) -> None:
        """A message that librdkafka gave up; called from within `poll` and `flush`."""
        codes = self._kafka.KafkaError
        if error.code() in (codes._PURGE_QUEUE, codes._PURGE_INFLIGHT, codes._FATAL) or error.fatal():
            self._again.append((message.key(), message.value()))
            self._taken -= 1
        elif error.code() == codes.MSG_SIZE_TOO_LARGE and not self._is_single:
            # The broker refuses a batch as a whole, for one large message or because the topic takes less than a batch.
            # Sent one by one, what is too large is too large itself.
            self._again.append((message.key(), message.value()))
            self._taken -= 1
            self._is_fatal = True
            self._config["batch.num.messages"] = 1
        else:
            self._failed_one(error)

    def _failed_one(self, error: Any) -> None:
        self._failed += 1
        self._tell("failed", "topic %s did not take an event: %s", self._topic, error.str())
