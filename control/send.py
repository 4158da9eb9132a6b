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
from .signers import FRESH_MS
from .signing import Envelope, Signer


class ControlError(RunwatchError):
    """A command did not reach the topic; the message says why, and that nothing has changed."""


def send(
    config: Mapping[str, Any],
    topic: str,
    registry: Registry,
    control: Control,
    timeout_s: float = 10.0,
    signer: Signer | None = None,
) -> None:
    """Sends one command, signed where there is a `signer`, and waits until the broker has it.

    `config` is librdkafka's, with `bootstrap.servers`. Raises `ScopeError`, `ControlError` or `RegistryError`.
    """
    from confluent_kafka import KafkaException, Producer

    parse(control.scope)
    schema = load("control")
    key, value = control.scope.encode(), encode(control.to_record(), schema, registry.id_of(schema, topic))
    headers = signer.headers(topic, key, value) if signer else []
    trouble: list[str] = []
    log_ms: list[int] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            trouble.append(error.str())
        else:
            log_ms.append(message.timestamp()[1])

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
            key=key,
            value=value,
            headers=headers,
            on_delivery=delivered,
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
    if signer and log_ms:
        _check_clock(Envelope.read(headers[0][1]), log_ms[0], topic)


def _check_clock(envelope: Envelope, log_ms: int, topic: str) -> None:
    if abs(ahead_ms := envelope.at_ms - log_ms) > FRESH_MS:
        raise ControlError(
            f"The command reached {topic} and binds nobody: this machine's clock is {abs(ahead_ms) // 1000:,} s "
            f"{'ahead of' if ahead_ms > 0 else 'behind'} the broker's, and what is signed at another time than it "
            "arrives is refused, lest somebody send it again later. Set the clock right."
        )
