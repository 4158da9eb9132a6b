"""Messages as a consumer hands them out, and ClickHouse and Kafka that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import fastavro
import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from runwatch.clickhouse import StoreAway, StoreRefused, connect
from runwatch.config import Settings
from runwatch.schemas.avro import AvroSchema, load
from runwatch.schemas.container import SENTINEL, pack
from runwatch.schemas.wire import encode
from runwatch.sinks.batch import Bad
from runwatch.sinks.insert import ClickHouseLanding
from runwatch.sinks.lead import lead_bodies, lead_bytes
from runwatch.sinks.migrate import migrate
from runwatch.sinks.resume import Stretches
from runwatch.sinks.routes import LEAD, Route

EVENTS = Route("agent.events", "events_in", "events_stored", "AgentEvent")


@dataclass
class FakeMessage:
    """A Kafka message."""

    value_bytes: bytes | None
    at: int = 0
    in_partition: int = 0
    of_topic: str = "agent.events"
    key_bytes: bytes | None = b"key"
    header_list: list[tuple[str, bytes | None]] | None = None
    log_ms: int = 1_000

    def topic(self) -> str:
        return self.of_topic

    def partition(self) -> int:
        return self.in_partition

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.header_list

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_LOG_APPEND_TIME, self.log_ms

    def __len__(self) -> int:
        return len(self.value_bytes or b"")


@dataclass
class FakeLanding:
    """ClickHouse's landing tables: reads containers as it would, and refuses as it would."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    inserts: int = 0
    refuse: Callable[[dict[str, Any]], bool] = lambda _: False
    away: int = 0
    """How many inserts fail before one works."""

    def insert(self, table: str, container: bytes) -> None:
        self.inserts += 1
        if self.away:
            self.away -= 1
            raise StoreAway("ClickHouse does not answer")
        try:
            found = list(fastavro.reader(BytesIO(container)))
        except Exception as error:
            raise StoreRefused(f"parse error: {error}", 1001) from error
        if any(row["_end"] != SENTINEL or self.refuse(row) for row in found):
            raise StoreRefused("Constraint is violated", 469)
        self.rows += [row | {"table": table} for row in found]

    def offsets(self) -> list[int]:
        return [row["kafka_offset"] for row in self.rows]


@dataclass
class FakeWorld:
    """The writer's boundary."""

    ground: FakeLanding = field(default_factory=FakeLanding)
    already: dict[int, Stretches] = field(default_factory=dict)
    """What is stored before, by partition."""
    asked: list[tuple[str, int, int, int]] = field(default_factory=list)
    dead: list[Bad] = field(default_factory=list)
    disconnects: int = 0

    def landing(self) -> FakeLanding:
        return self.ground

    def disconnect(self) -> None:
        self.disconnects += 1

    def source(self, topic: str) -> int:
        return 4_000_000_000

    def stored(self, route: Route, source: int, partition: int, first: int) -> Stretches:
        self.asked.append((route.stored, source, partition, first))
        return self.already.get(partition, Stretches())

    def send_dead(self, letters: list[Bad]) -> None:
        self.dead += letters


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def landing() -> FakeLanding:
    return FakeLanding()


@pytest.fixture(scope="session")
def new_landing() -> Callable[[], FakeLanding]:
    """For properties, whose examples share their fixtures."""
    return FakeLanding


@pytest.fixture(scope="session")
def new_world() -> Callable[[], FakeWorld]:
    """For properties, whose examples share their fixtures."""
    return FakeWorld


@pytest.fixture(scope="session")
def events_route() -> Route:
    return EVENTS


@pytest.fixture(scope="session")
def event_schema() -> AvroSchema:
    return load("agent_event")


@pytest.fixture(scope="session")
def an_event() -> Callable[..., dict[str, Any]]:
    """Makes an event's record; arguments are its fields."""

    def make(**fields: Any) -> dict[str, Any]:
        seq = fields.get("seq", 0)
        record = {"event_id": f"e{seq}", "run_id": "r1", "seq": seq, "kind": "tool_result", "ts_ms": 1000 + seq}
        return record | {"agent": "support", "status": "none"} | fields

    return make


@pytest.fixture(scope="session")
def message(event_schema: AvroSchema, an_event: Callable[..., dict[str, Any]]) -> Callable[..., FakeMessage]:
    """Makes a message that holds an event; `value=` for other bytes, further fields are FakeMessage's."""

    def make(at: int = 0, partition: int = 0, value: bytes | str | None = "an event", **fields: Any) -> FakeMessage:
        if value == "an event":
            value = encode(an_event(seq=at), event_schema, event_schema.schema_id)
        assert not isinstance(value, str)
        return FakeMessage(value, at, partition, **fields)

    return make


class Store:
    """A database of its own in the real ClickHouse, with runwatch's tables."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = connect(settings)
        migrate(self.client, settings)
        self.client.database = settings.database
        self._landing = ClickHouseLanding(settings, self.client)

    def insert(
        self,
        table: str,
        schema: AvroSchema,
        records: list[dict[str, Any]],
        first: int = 0,
        *,
        source: int = 1,
        partition: int = 0,
        mend: Callable[[list[bytes]], list[bytes]] = lambda bodies: bodies,
    ) -> None:
        """Inserts as the sink does; `mend` may spoil the bodies first."""
        values = []
        for record in records:
            out = BytesIO()
            fastavro.schemaless_writer(out, schema.parsed, record)
            values.append(out.getvalue())
        places = list(range(first, first + len(records)))
        bodies = lead_bodies(lead_bytes(source, partition), places, mend(values), 0)
        self._landing.insert(table, pack(bodies, schema, LEAD))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.client.query(query).result_rows]

    def row(self, query: str) -> dict[str, Any]:
        """The one row of a query, by column name."""
        result = self.client.query(query)
        (row,) = result.result_rows
        return dict(zip(result.column_names, row, strict=True))


@pytest.fixture
def store(stack: Any) -> Iterator[Store]:
    """Fresh tables in the real ClickHouse."""
    made = Store(stack.unique())
    yield made
    made.client.command(f"DROP DATABASE {made.settings.database}")
    made.client.close()
