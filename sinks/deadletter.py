"""Messages that cannot be stored, to the dead letter topic: their bytes as they were, and where they are from."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ..schemas.avro import AvroSchema, make_schema
from ..schemas.container import zigzag
from ..schemas.errors import RunwatchError
from .batch import Bad, Message

CUT_BYTES = 100_000
"""What is kept of a message that, with its headers, has become too large for the topic."""

RETRIES = "runwatch-retries"
"""Header of a message that was sent back from the dead letters: how often that was done with it."""
RETRIED = "retried_ms"
"""Header of a dead letter that was sent back: when, epoch milliseconds."""
MOST_RETRIES = 2**31
LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""

SCHEMA: AvroSchema = make_schema(
    "dead_letter",
    {
        "type": "record",
        "name": "DeadLetter",
        "namespace": "runwatch",
        "fields": [
            {"name": "topic", "type": "string"},
            {"name": "partition", "type": "long"},
            {"name": "offset", "type": "long"},
            {"name": "reason", "type": "string"},
            {"name": "detail", "type": "string"},
            {"name": "key", "type": ["null", "bytes"]},
            {"name": "value", "type": ["null", "bytes"]},
            {"name": "retries", "type": "long"},
            {"name": "retried_ms", "type": ["null", "long"]},
            {"name": "cut_from_bytes", "type": ["null", "long"]},
        ],
    },
)
"""How a dead letter goes into ClickHouse: its headers and bytes as one record."""


class Undelivered(RunwatchError):
    """Some dead letters did not reach their topic; the message says why."""


class DeadLetters:
    """Writes dead letters, and waits until the broker has them."""

    def __init__(self, bootstrap: str, topic: str, extra: dict[str, Any] | None = None) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._extra = extra or {}
        self._producer: Producer | None = None

    def send(self, letters: Sequence[Bad], timeout_s: float = 30.0) -> None:
        """Returns when all of them are in the topic. Raises `Undelivered`, after which all may be sent again."""
        cut = self._deliver(letters, timeout_s, None)
        if cut:
            self._deliver(cut, timeout_s, CUT_BYTES)

    def _deliver(self, letters: Sequence[Bad], timeout_s: float, cut: int | None) -> list[Bad]:
        """Sends them and returns those that are too large. Raises `Undelivered`."""
        producer = self._opened()
        too_large: list[Bad] = []
        failed: list[str] = []
        done = 0

        def note(letter: Bad, error: KafkaError | None) -> None:
            nonlocal done
            done += 1
            if error is not None:
                if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and cut is None:
                    too_large.append(letter)
                else:
                    failed.append(str(error.str()))

        for letter in letters:
            value = letter.message.value()
            headers = headers_of(letter)
            if cut is not None and value is not None and len(value) > cut:
                headers.append(("cut_from_bytes", str(len(value)).encode()))
                value = value[:cut]
            while True:
                try:
                    producer.produce(
                        self._topic,
                        value=value,
                        key=letter.message.key(),
                        headers=headers,
                        on_delivery=lambda error, _, letter=letter: note(letter, error),
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:
                    note(letter, error.args[0])
                    break
        producer.flush(timeout_s)
        if failed or done < len(letters):
            why = failed[0] if failed else f"no answer within {timeout_s:.0f} s"
            raise Undelivered(
                f"{len(failed) or len(letters) - done} dead letters did not reach topic {self._topic} at "
                f"{self._bootstrap} ({why}); nothing is committed until they do"
            )
        return too_large

    def _opened(self) -> Producer:
        # Most sinks never write one, so the connection waits for the first.
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "enable.idempotence": True,
                    "compression.type": "lz4",
                    "message.max.bytes": 20 << 20,
                    "delivery.timeout.ms": 25_000,
                    "log_level": 0,
                    **self._extra,
                }
            )
        return self._producer


def headers_of(letter: Bad) -> list[tuple[str, bytes]]:
    """A dead letter's headers: why, and where it was read."""
    message = letter.message
    retries = [(RETRIES, value) for name, value in message.headers() or () if name == RETRIES and value is not None]
    return [
        ("reason", letter.reason.encode()),
        ("detail", letter.detail[:500].encode("utf-8", "replace")),
        ("topic", message.topic().encode()),
        ("partition", str(message.partition()).encode()),
        ("offset", str(message.offset()).encode()),
        *retries[-1:],
    ]


def body(message: Message) -> bytes:
    """A message of the dead letter topic as the Avro body of a `SCHEMA` record.

    Whoever wrote it may have left headers out: then it is its own origin, so that no two fall into one.
    """
    headers = {name: value for name, value in message.headers() or () if value is not None}
    origin = _number(headers.get("partition")), _number(headers.get("offset"))
    topic = headers.get("topic")
    if topic is None or None in origin:
        topic, origin = message.topic().encode(), (message.partition(), message.offset())
    return b"".join(
        (
            _text(topic),
            zigzag(origin[0] or 0),
            zigzag(origin[1] or 0),
            _text(headers.get("reason", b"unknown")),
            _text(headers.get("detail", b"")),
            _optional(message.key()),
            _optional(message.value()),
            zigzag(_number(headers.get(RETRIES), MOST_RETRIES) or 0),
            _optional_number(_number(headers.get(RETRIED), LAST_MS)),
            _optional_number(_number(headers.get("cut_from_bytes"))),
        )
    )


def _number(text: bytes | None, most: int | None = None) -> int | None:
    """The number of a header, None where there is none of 64 bits, or, given `most`, of 0 to `most`."""
    try:
        number = int(text or b"")
        struct.pack(">q", number)
    except (ValueError, struct.error):
        return None
    return None if most is not None and not 0 <= number <= most else number


def _text(value: bytes) -> bytes:
    value = value.decode("utf-8", "replace").encode()
    return zigzag(len(value)) + value


def _optional(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + zigzag(len(value)) + value


def _optional_number(value: int | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + zigzag(value)
