"""Commands into the control topic, and known to have arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..schemas.avro import load
from ..schemas.controls import Control
from ..schemas.errors import RunwatchError
from ..schemas.registry import Registry
from ..schemas.wire import encode
from .scopes import parse


class ControlError(RunwatchError):
    """A command did not reach the topic; the message says why, and that nothing has changed."""


def send(config: Mapping[str, Any], topic: str, registry: Registry, control: Control, timeout_s: float = 10.0) -> None:
    """Sends one command and waits until the broker has it.

    `config` is librdkafka's, with `bootstrap.servers`. Raises `ScopeError`, `ControlError` or `RegistryError`.
    """
    from confluent_kafka import KafkaException, Producer

    parse(control.scope)
    schema = load("control")
    value = encode(control.to_record(), schema, registry.id_of(schema, topic))
    trouble: list[str] = []
    place = config.get("bootstrap.servers", "")
    try:
        producer = Producer(
            {
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 0,
                "message.timeout.ms": max(1, int(timeout_s * 1000)),
                "allow.auto.create.topics": False,
                "log_level": 0,
                **config,
            }
        )
        producer.produce(
            topic,
            key=control.scope.encode(),
            value=value,
            on_delivery=lambda error, _: trouble.append(error.str()) if error is not None else None,
        )
        left = producer.flush(timeout_s + 1.0)
        if left:
            producer.purge()
            producer.flush(1.0)
            trouble = ["the broker does not answer"]
    except KafkaException as error:
        trouble.append(error.args[0].str())
    if trouble:
        raise ControlError(
            f"The command did not reach {topic} at {place} ({trouble[0]}), and binds nobody. Is the broker up, and "
            "may this user write there?"
        )
