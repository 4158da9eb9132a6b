"""Messages on their way: collected until there are enough, then cut into blocks of one schema each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..schemas.avro import AvroSchema
from ..schemas.wire import HEADER, HEADER_BYTES, MAGIC, WireError, split
from .lead import lead_bodies


class Message(Protocol):
    """What is asked of a message; confluent_kafka's has it."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...
    def __len__(self) -> int: ...


SchemaOf = Callable[[int], AvroSchema]
"""As `Registry.schema_of`."""
Check = Callable[[Message, SchemaOf], bytes]
"""Raises `WireError` for a message that parses and still is not what it should be; else what stands before its body,
behind the lead: the values of a route's further fields."""

Place = tuple[str, int]
"""A topic's full name and a partition."""


@dataclass(frozen=True)
class Limits:
    """When a batch is full or has waited long enough.

    Larger ones are not faster: ClickHouse takes 40,000 rows and 85,000 at the same rate, and what is in memory
    is up to three batches.
    """

    records: int = 50_000
    size: int = 16 << 20
    """Bytes of values."""
    linger_s: float = 0.25


class Batch:
    """Messages by partition, in order of offset."""

    def __init__(self) -> None:
        self.places: defaultdict[Place, list[Message]] = defaultdict(list)
        self.records = 0
        self.size = 0
        self.since: float | None = None
        """When its first message came in, on the caller's clock; None while it is empty."""

    def add(self, messages: Sequence[Message], now: float) -> None:
        """Adds messages as they came from Kafka."""
        if not messages:
            return
        places = self.places
        for message in messages:
            places[message.topic(), message.partition()].append(message)
        self.records += len(messages)
        self.size += sum([len(message) for message in messages])
        if self.since is None:
            self.since = now

    def full(self, limits: Limits) -> bool:
        return self.records >= limits.records or self.size >= limits.size

    def due(self, limits: Limits, now: float) -> bool:
        """True where it should be stored now."""
        return self.full(limits) or (self.since is not None and now - self.since >= limits.linger_s)

    def drop(self, places: Iterable[Place]) -> None:
        """Forgets the messages of partitions that went to somebody else, who will read them again."""
        for place in places:
            messages = self.places.pop(place, ())
            self.records -= len(messages)
            self.size -= sum([len(message) for message in messages])
        if not self.places:
            self.since = None

    def ends(self) -> dict[Place, int]:
        """The offset to commit for each partition once everything in the batch is stored."""
        return {place: messages[-1].offset() + 1 for place, messages in self.places.items()}


@dataclass(frozen=True)
class Bad:
    """A message that cannot be stored, and why."""

    message: Message
    reason: str
    """A word to count by: `empty`, `short`, `magic`, `schema`, `avro`, `refused`; of commands `key` and `forged`."""
    detail: str


@dataclass
class Block:
    """Messages of one topic and one schema, ready to be packed."""

    schema: AvroSchema
    bodies: list[bytes] = field(default_factory=list)
    """Avro bodies, each preceded by its lead fields."""
    messages: list[Message] = field(default_factory=list)


class Cutter:
    """Sorts one topic's messages into blocks by the schema they were written with."""

    def __init__(
        self, schema_of: SchemaOf, record: str, *, tombstones: bool = False, check: Check | None = None
    ) -> None:
        """`schema_of` raises `WireError` for an id that is nobody's; `record` is the name of the topic's record.

        `check` looks at each message by itself: for topics of few messages.
        """
        self._schema_of = schema_of
        self._record = record
        self._tombstones = tombstones
        self._check = check
        self._unknown: dict[int, WireError] = {}
        self.blocks: dict[int, Block] = {}
        self.bad: list[Bad] = []

    def add(self, prefix: bytes, messages: list[Message]) -> None:
        """Takes one partition's messages; `prefix` is that partition's `lead_bytes`."""
        if self._check is not None:
            self._sort(prefix, messages)
            return
        values = [message.value() for message in messages]
        try:
            # Nearly always one id; None raises TypeError.
            heads = {value[:HEADER_BYTES] for value in values}  # type: ignore[index]
            known = self._known(heads)
        except (TypeError, WireError):
            known = None
        if known is not None:
            self._append(known, prefix, messages, values)  # type: ignore[arg-type]
        else:
            self._sort(prefix, messages)

    def _known(self, heads: set[bytes]) -> int | None:
        """The schema's id where all messages share one that is known."""
        if len(heads) != 1:
            return None
        head = heads.pop()
        if len(head) < HEADER_BYTES or head[0] != MAGIC:
            return None
        schema_id: int = HEADER.unpack(head)[1]
        self._block(schema_id)
        return schema_id

    def _block(self, schema_id: int) -> Block:
        block = self.blocks.get(schema_id)
        if block is not None:
            return block
        if schema_id in self._unknown:
            # A registry is asked over the network: once, not for each message.
            raise self._unknown[schema_id]
        try:
            schema = self._schema_of(schema_id)
            if schema.raw.get("name") != self._record:
                # Its fields would be missing, and missing fields take defaults: rows of nothing.
                raise WireError("schema", f"schema id {schema_id} is no {self._record}")
        except WireError as error:
            self._unknown[schema_id] = error
            raise
        block = self.blocks[schema_id] = Block(schema)
        return block

    def _append(self, schema_id: int, prefix: bytes, messages: list[Message], values: list[bytes]) -> None:
        block = self.blocks[schema_id]
        offsets = [message.offset() for message in messages]
        block.bodies += lead_bodies(prefix, offsets, values, HEADER_BYTES)
        block.messages += messages

    def _sort(self, prefix: bytes, messages: list[Message]) -> None:
        """The slow way: several schemas, or something that is no framed message at all, or each is to be checked."""
        by_id: defaultdict[int, list[tuple[Message, bytes]]] = defaultdict(list)
        for message in messages:
            value = message.value()
            try:
                further = b"" if self._check is None else self._check(message, self._schema_of)
                if value is None and self._tombstones:
                    continue
                schema_id, _ = split(value)
                self._block(schema_id)
            except WireError as error:
                self.bad.append(Bad(message, error.reason, str(error)))
            else:
                assert value is not None  # or it would have been empty
                by_id[schema_id].append((message, value[:HEADER_BYTES] + further + value[HEADER_BYTES:]))
        for schema_id, group in by_id.items():
            self._append(schema_id, prefix, [message for message, _ in group], [value for _, value in group])
