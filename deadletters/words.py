"""What is said of held topics, in a topic of its own: the last word of each part and topic stands until the next.

A word outlives whoever said it. So a consumer that is started again does not begin to move the topic into the dead
letters anew, and one that takes over from another knows what that one found.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ..compacted import standing
from ..config import Settings
from ..schemas.avro import load
from ..schemas.errors import RunwatchError
from ..schemas.events import epoch_ms
from ..schemas.holds import Hold
from ..schemas.registry import Registry
from ..schemas.topics import HOLDS
from ..schemas.wire import WireError, decode_body, encode, split

log = logging.getLogger(__name__)

_SCHEMA = load("hold")
_NO_TOPIC = (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)


class WordsError(RunwatchError):
    """The topic of holds could not be read or written; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Word:
    """A hold, and when the broker heard of it."""

    hold: Hold
    log_ms: int


class Words:
    """The topic of holds."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._config = settings.kafka_client(log_level=0)
        self._place = settings.kafka
        self._topic = settings.topic(HOLDS.name)
        self._registry = registry

    def read(self, timeout_s: float = 10.0) -> dict[str, Word]:
        """The last word of each part and topic, by its key; none where there is no such topic.

        Raises `WordsError`, and `RegistryError` where the registry is away.
        """
        found: dict[str, Word] = {}
        try:
            for message in standing(self._config, self._topic, timeout_s):
                try:
                    hold = read_hold(message.value(), self._registry)
                except WireError:
                    continue  # whoever wrote it, it is no word of ours
                found[hold.key] = Word(hold, message.timestamp()[1])
            return found
        except TimeoutError as error:
            raise self._trouble("read", "it took too long") from error
        except KafkaException as error:
            code = error.args[0].code()
            if code in _NO_TOPIC:
                return {}
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                # Rights from before this topic: to store nothing more for want of it would be worse.
                log.warning("%s may not be read by this user: which topics others hold is not known.", self._topic)
                return {}
            raise self._trouble("read", error.args[0].str()) from error

    def say(self, hold: Hold, timeout_s: float = 10.0) -> None:
        """Says it, and waits until the broker has it. Raises `WordsError` or `RegistryError`."""
        value = encode(hold.to_record(), _SCHEMA, self._registry.id_of(_SCHEMA, self._topic))
        trouble: list[str] = []
        more: dict[str, Any] = {"partitioner": "murmur2_random", "linger.ms": 0, "allow.auto.create.topics": False}
        try:
            producer = Producer({"message.timeout.ms": int(timeout_s * 1000), **more, **self._config})
            producer.produce(
                self._topic,
                value,
                hold.key.encode(),
                on_delivery=lambda error, _: trouble.append(error.str()) if error is not None else None,
            )
            if producer.flush(timeout_s + 1):
                trouble.append("the broker does not answer")
        except KafkaException as error:
            trouble.append(error.args[0].str())
        if trouble:
            raise self._trouble("written", trouble[0])

    def _trouble(self, what: str, why: str) -> WordsError:
        return WordsError(f"The topic {self._topic} at {self._place} could not be {what} ({why}).")


def read_hold(value: bytes | None, registry: Registry) -> Hold:
    """A message of the topic. Raises `WireError`."""
    schema_id, body = split(value)
    record: Mapping[str, Any] = decode_body(body, registry.schema_of(schema_id), _SCHEMA)
    return Hold.from_record({**record, "ts_ms": epoch_ms(record["ts_ms"])})
