"""Which topic goes into which tables."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from ..config import Settings
from ..control.read import read_control
from ..control.signers import Signers, SignersError
from ..schemas import topics
from ..schemas.container import text_bytes
from .batch import Check, Message, SchemaOf

LEAD = ("kafka_source", "kafka_partition", "kafka_offset")
"""Fields that stand before the record's own in every container."""
SIGNED = (*LEAD, ("signed_by", "string"))
"""The same of commands: the name of who signed one, where that was asked for."""


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
    lead: tuple[str | tuple[str, str], ...] = LEAD
    """Fields before the record's own: `LEAD`, and those that `check` answers with."""
    letters: bool = False
    """True for the dead letters themselves: raw bytes with headers, not framed Avro."""


def routes(settings: Settings) -> dict[str, Route]:
    """The routes of a fleet by the topic's full name. Raises `SignersError` for a file of signers that does not do."""
    name = settings.topic
    check = _command_check(name(topics.CONTROL.name), settings.signers())
    all_routes = (
        Route(name(topics.EVENTS.name), "events_in", "events_stored", "AgentEvent"),
        Route(name(topics.WINDOWS.name), "window_parts_in", "window_parts_stored", "WindowPart"),
        Route(name(topics.ANOMALIES.name), "anomalies_in", "anomalies_stored", "Anomaly"),
        Route(
            name(topics.CONTROL.name),
            "control_in",
            "control_stored",
            "Control",
            tombstones=True,
            check=check,
            lead=SIGNED,
        ),
        Route(name(topics.SNAPSHOTS.name), "snapshots_in", "snapshots_stored", "Snapshot"),
        Route(name(topics.DEADLETTER.name), "dead_letters_in", "dead_letters_stored", "DeadLetter", letters=True),
    )
    return {route.topic: route for route in all_routes}


def _command_check(topic: str, signers: Signers | None) -> Check:
    """What no agent goes by is no part of the audit either. The check raises `WireError`."""

    def check(message: Message, schema_of: SchemaOf) -> bytes:
        kind, ms = message.timestamp()
        log_ms = ms if kind else None
        name = ""
        if signers is not None:
            with suppress(SignersError):  # then those of before hold, which the followers say
                signers.reread()
            name = signers.verify(topic, message.key(), message.value(), message.headers(), log_ms).name
        read_control(message.key(), message.value(), schema_of, log_ms)
        return text_bytes(name)

    return check
