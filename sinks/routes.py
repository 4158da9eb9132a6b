"""Which topic goes into which tables."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Settings
from ..control.read import read_control
from ..schemas import topics
from .batch import Check, Message, SchemaOf

LEAD = ("kafka_source", "kafka_partition", "kafka_offset")
"""Fields that stand before the record's own in every container."""


@dataclass(frozen=True)
class Route:
    """One topic's way into ClickHouse."""

    topic: str
    """The topic's full name."""
    landing: str
    """The `Null` table that is inserted into."""
    stored: str
    """The table that a view fills from it."""
    record: str
    """Name of the Avro record that the topic's messages are."""
    tombstones: bool = False
    """True where a message without a value is a deletion, as on a compacted topic, and no fault."""
    check: Check | None = None
    """What each message is held to besides its schema."""
    letters: bool = False
    """True for the dead letters themselves: raw bytes with headers, not framed Avro."""


def routes(settings: Settings) -> dict[str, Route]:
    """The routes of a fleet by the topic's full name."""
    name = settings.topic
    all_routes = (
        Route(name(topics.EVENTS.name), "events_in", "events_stored", "AgentEvent"),
        Route(name(topics.WINDOWS.name), "window_parts_in", "window_parts_stored", "WindowPart"),
        Route(name(topics.ANOMALIES.name), "anomalies_in", "anomalies_stored", "Anomaly"),
        Route(name(topics.CONTROL.name), "control_in", "control_stored", "Control", tombstones=True, check=_is_command),
        Route(name(topics.SNAPSHOTS.name), "snapshots_in", "snapshots_stored", "Snapshot"),
        Route(name(topics.DEADLETTER.name), "dead_letters_in", "dead_letters_stored", "DeadLetter", letters=True),
    )
    return {route.topic: route for route in all_routes}


def _is_command(message: Message, schema_of: SchemaOf) -> None:
    """What no agent goes by is no part of the audit either. Raises `WireError`."""
    kind, log_ms = message.timestamp()
    read_control(message.key(), message.value(), schema_of, log_ms if kind else None)
