"""Stored events as they came in, a stretch of arrival after the other, in bounded memory.

Which partition an event came in by, and where in it, is stored beside it: whoever judges this history folds it as
the stream was folded. Copies of an event that was sent or stored twice are not taken out: a fold knows repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..clickhouse import connect, told
from ..config import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

STEP_MS = 300_000
"""Arrivals are told apart by stretches of this length."""
ROWS = 200_000
"""Events of one answer, some 50 MB; more only where they came in bursts within one step."""

SPAN_MS = 6 * 3_600_000
"""Time of arrival that one answer covers, at the most."""

_WHERE = """
FROM events_stored
WHERE ingested_at >= fromUnixTimestamp64Milli({from_ms:Int64})
  AND ingested_at < fromUnixTimestamp64Milli({to_ms:Int64})
  AND ({agent:String} = '' OR agent = {agent:String})
"""

# `late_ms`: how long after its own time an event came in.
EXTENT = f"""
SELECT
    toInt64(intDiv(toUnixTimestamp64Milli(ingested_at), {{step_ms:Int64}}) * {{step_ms:Int64}}) AS begin_ms,
    count() AS events,
    max(toUnixTimestamp64Milli(ingested_at) - toUnixTimestamp64Milli(ts)) AS late_ms
{_WHERE}
GROUP BY begin_ms
ORDER BY begin_ms
"""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is stored of some time of arrival."""

    events: int
    late_ms: int
    """How long after its own time an event came in, at the most."""
    spans: Sequence[tuple[int, int, int]]
    """Spans of arrival that one answer holds: from, to (not included), events."""


@dataclass(frozen=True, slots=True)
class Block:
    """The events that came in within a span, by partition and offset."""

    end_ms: int
    """By then all of it had come in."""
    events: int
    data: bytes
    """An Arrow IPC stream of the columns asked for, `kafka_partition` and `kafka_offset`; `ts_ms` is Int64."""


class History:
    """Reads it from the ClickHouse in `settings`. Each method raises `StoreError`, which says what is wrong."""

    def __init__(self, settings: Settings, client: Client | None = None) -> None:
        self._settings = settings
        self._client = client if client is not None else connect(settings)
        self._client.database = settings.database

    def extent(self, from_ms: int, to_ms: int, agent: str = "") -> Extent:
        """What came in from then on, and before then, of all agents or of one."""
        asked = {"from_ms": from_ms, "to_ms": to_ms, "agent": agent, "step_ms": STEP_MS}
        with told(self._settings):
            rows = self._client.query(EXTENT, parameters=asked).result_rows
        spans: list[tuple[int, int, int]] = []
        for begin_ms, events, _ in rows:
            if spans and spans[-1][2] + events <= ROWS and begin_ms + STEP_MS - spans[-1][0] <= SPAN_MS:
                spans[-1] = (spans[-1][0], begin_ms + STEP_MS, spans[-1][2] + events)
            else:
                spans.append((begin_ms, begin_ms + STEP_MS, events))
        # At the edges only what was asked for.
        spans = [(max(begin, from_ms), min(end, to_ms), events) for begin, end, events in spans]
        spans = [piece for span in spans for piece in _cut(*span)]
        return Extent(sum(row[1] for row in rows), max((row[2] for row in rows), default=0), spans)

    def blocks(self, extent: Extent, columns: Sequence[str], agent: str = "") -> Iterator[Block]:
        """The events of an extent, a block a span."""
        named = ", ".join(_expression(name) for name in columns)
        query = (
            f"SELECT {named}, toInt64(kafka_partition) AS kafka_partition, toInt64(kafka_offset) AS kafka_offset"
            f"{_WHERE} ORDER BY kafka_partition, kafka_offset"
        )
        for begin_ms, end_ms, events in extent.spans:
            asked: dict[str, Any] = {"from_ms": begin_ms, "to_ms": end_ms, "agent": agent}
            with told(self._settings):
                data = self._client.raw_query(query, parameters=asked, fmt="ArrowStream", settings=_AS_TEXT)
            yield Block(end_ms, events, data)


def _cut(begin_ms: int, end_ms: int, events: int) -> Iterator[tuple[int, int, int]]:
    """A span as several of like length, none with more than `ROWS` events if they came evenly."""
    pieces = min(-(-events // ROWS), end_ms - begin_ms)
    for number in range(pieces):
        first, last = ((end_ms - begin_ms) * at // pieces for at in (number, number + 1))
        few, many = (events * at // pieces for at in (number, number + 1))
        yield begin_ms + first, begin_ms + last, many - few


_AS_TEXT = {"output_format_arrow_string_as_string": 1, "output_format_arrow_low_cardinality_as_dictionary": 0}


def _expression(name: str) -> str:
    if name == "ts_ms":
        return "toUnixTimestamp64Milli(ts) AS ts_ms"
    # Plain strings: dictionaries of Arrow are not the same in every reader.
    return name
