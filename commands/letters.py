"""Dead letters, read from ClickHouse, looked at again, and sent back to where they came from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config import Settings
from ..schemas import topics
from ..schemas.errors import RunwatchError
from ..schemas.registry import Registry
from ..schemas.wire import WireError, decode_body, split

if TYPE_CHECKING:
    from ..sinks.query import Reader

PAGE = 5_000
ANSWER_S = 30.0
RETRIES = "runwatch-retries"
RETRIED_FROM = "runwatch-retried-from"

_COLUMNS = (
    "topic, partition, offset, reason, detail, hex(key) AS key_hex, key IS NULL AS no_key, hex(value) AS value_hex, "
    "value IS NULL AS no_value, retries, retried_at, cut_from_bytes, ingested_at"
)
_WHERE = """
WHERE ({{topic:String}} = '' OR topic = {{topic:String}})
  AND ({{reason:String}} = '' OR reason = {{reason:String}})
  AND ({{retried:Bool}} OR retried_at IS NULL)
  AND ingested_at >= fromUnixTimestamp64Milli({{from_ms:Int64}})
  {more}
"""
_AFTER = "AND (topic, partition, offset) > ({after_topic:String}, {after_partition:Int64}, {after_offset:Int64})"
_LATEST = f"""
SELECT {_COLUMNS} FROM dead_letters {_WHERE.format(more="")}
ORDER BY ingested_at DESC, topic, partition, offset DESC LIMIT {{limit:UInt32}}
"""
_PAGE = f"""
SELECT {_COLUMNS} FROM dead_letters {_WHERE.format(more=_AFTER)}
ORDER BY topic, partition, offset LIMIT {{limit:UInt32}}
"""
_ONE = f"""
SELECT {_COLUMNS} FROM dead_letters
WHERE topic = {{topic:String}} AND partition = {{partition:Int64}} AND offset = {{offset:Int64}}
"""
_COUNTS = f"""
SELECT topic, reason, count() AS letters, countIf(retried_at IS NULL) AS waiting, max(ingested_at) AS latest
FROM dead_letters {_WHERE.format(more="")}
GROUP BY topic, reason ORDER BY letters DESC, topic, reason
"""


class SendError(RunwatchError):
    """Letters did not reach the topic that they came from; the message says how many had before."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant."""

    topic: str = ""
    """Full name; empty for any."""
    reason: str = ""
    retried: bool = False
    """Whether such are meant, too, as were sent back already."""
    from_ms: int = 0
    """None that were stored before; epoch milliseconds."""

    def asked(self) -> dict[str, Any]:
        return {"topic": self.topic, "reason": self.reason, "retried": self.retried, "from_ms": self.from_ms}


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that could not be read."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    retries: int
    """How often it had been sent back before it came here."""
    retried_at: Any
    """When it was sent back, an aware datetime; None where it was not."""
    cut_from_bytes: int | None
    """How long it was, where only its beginning was kept."""
    at: Any
    """When it was stored, an aware datetime."""

    @property
    def name(self) -> str:
        """By what it is known: where it was read."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def latest(reader: Reader, chosen: Chosen, limit: int) -> list[Letter]:
    """The newest of them, newest first."""
    return [_letter(row) for row in reader.rows(_LATEST, limit=limit, **chosen.asked())]


def counts(reader: Reader, chosen: Chosen) -> list[dict[str, Any]]:
    """How many there are, by topic and reason, most first."""
    return reader.rows(_COUNTS, **chosen.asked())


def one(reader: Reader, topic: str, partition: int, offset: int) -> Letter | None:
    """The letter of that origin."""
    found = reader.rows(_ONE, topic=topic, partition=partition, offset=offset)
    return _letter(found[0]) if found else None


def pages(reader: Reader, chosen: Chosen, most: int | None = None) -> Iterator[list[Letter]]:
    """All of them by their origin, a page at a time; `most` in all."""
    after: tuple[str, int, int] = ("", -1, -1)
    left = most
    while left is None or left > 0:
        limit = PAGE if left is None else min(PAGE, left)
        rows = reader.rows(
            _PAGE, after_topic=after[0], after_partition=after[1], after_offset=after[2], limit=limit, **chosen.asked()
        )
        if not rows:
            return
        found = [_letter(row) for row in rows]
        yield found
        after = (found[-1].topic, found[-1].partition, found[-1].offset)
        left = None if left is None else left - len(found)


def _letter(row: dict[str, Any]) -> Letter:
    return Letter(
        row["topic"],
        row["partition"],
        row["offset"],
        row["reason"],
        row["detail"],
        None if row["no_key"] else bytes.fromhex(row["key_hex"]),
        None if row["no_value"] else bytes.fromhex(row["value_hex"]),
        row["retries"],
        row["retried_at"],
        row["cut_from_bytes"],
        row["ingested_at"],
    )


class Post:
    """Says which letters can go back, and sends them."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        from ..sinks.routes import routes

        self._settings = settings
        self._registry = registry
        self._dead = settings.topic(topics.DEADLETTER.name)
        control = settings.topic(topics.CONTROL.name)
        self._records = {
            route.topic: route.record
            for route in routes(settings).values()
            if not route.letters and route.topic != control
        }
        self._control = control
        self._producer: Any = None
        self._partitions: dict[str, int] = {}

    def trouble(self, letter: Letter) -> str | None:
        """Why a letter cannot go back; None where it can. Raises `RegistryError` where the registry is away.

        What ClickHouse alone refused, only ClickHouse can judge again.
        """
        if letter.topic == self._control:
            return "a command is given anew, with `runwatch kill` or `allow`, and never sent again"
        if letter.topic not in self._records:
            return f"it is from a topic that is not this fleet's to write ({letter.topic})"
        if letter.cut_from_bytes is not None:
            return f"only the beginning of its {letter.cut_from_bytes:,} bytes was kept"
        try:
            self.read(letter)
        except WireError as error:
            return f"{error.reason}: {error}"
        return None

    def read(self, letter: Letter) -> dict[str, Any]:
        """The record that is in it, where it can be read by now. Raises `WireError` or `RegistryError`."""
        schema_id, body = split(letter.value)
        schema = self._registry.schema_of(schema_id)
        wanted = self._records.get(letter.topic)
        if wanted is not None and schema.raw.get("name") != wanted:
            raise WireError("schema", f"a {schema.raw.get('name')} is not for this topic")
        return decode_body(body, schema)

    def send(self, letters: Sequence[Letter]) -> None:
        """Sends these back, each into its own partition, and notes in the dead letters that it was done.

        In that order: who is cut off in between sends them again, and what came twice counts once. Raises `SendError`.
        """
        now = str(int(time.time() * 1000)).encode()
        back: list[tuple[str, dict[str, Any]]] = []
        notes: list[tuple[str, dict[str, Any]]] = []
        for letter in letters:
            retries = str(letter.retries + 1).encode()
            headers: list[tuple[str, bytes]] = [(RETRIES, retries), (RETRIED_FROM, letter.name.encode())]
            place = {"partition": letter.partition} if letter.partition < self._count(letter.topic) else {}
            message: dict[str, Any] = {"key": letter.key, "value": letter.value}
            back.append((letter.topic, message | {"headers": headers} | place))
            origin = {"reason": letter.reason, "detail": letter.detail, "topic": letter.topic}
            origin |= {"partition": str(letter.partition), "offset": str(letter.offset), RETRIES: str(letter.retries)}
            noted = [*((name, text.encode()) for name, text in origin.items()), ("retried_ms", now)]
            notes.append((self._dead, message | {"headers": noted}))
        self._deliver(back)
        self._deliver(notes)

    def _deliver(self, messages: Iterable[tuple[str, dict[str, Any]]]) -> None:
        from confluent_kafka import KafkaException

        failed: list[str] = []

        def note(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(str(error.str()))

        producer = self._opened()
        for topic, message in messages:
            while True:
                try:
                    producer.produce(topic, on_delivery=note, **message)
                    break
                except BufferError:
                    producer.poll(0.1)
                except KafkaException as error:
                    failed.append(error.args[0].str())
                    break
        left = producer.flush(ANSWER_S)
        if left or failed:
            why = failed[0] if failed else "the broker does not answer"
            raise SendError(
                f"{left + len(failed):,} dead letters could not be sent to {self._settings.kafka} ({why}). What was "
                "sent before is noted; say it again, and the others follow."
            )

    def _count(self, topic: str) -> int:
        """How many partitions it has."""
        if topic not in self._partitions:
            from confluent_kafka import KafkaException

            try:
                found = self._opened().list_topics(topic, timeout=ANSWER_S).topics[topic]
            except KafkaException as error:
                why = error.args[0].str()
                raise SendError(f"Kafka at {self._settings.kafka} does not answer ({why}).") from error
            self._partitions[topic] = len(found.partitions)
        return self._partitions[topic]

    def _opened(self) -> Any:
        if self._producer is None:
            from confluent_kafka import Producer

            more = {"enable.idempotence": True, "partitioner": "murmur2_random", "compression.type": "lz4"}
            limits = {"message.max.bytes": 20 << 20, "delivery.timeout.ms": 25_000, "log_level": 0}
            self._producer = Producer(self._settings.kafka_client(**more, **limits))
        return self._producer
