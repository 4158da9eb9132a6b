"""What ClickHouse already has: asked once for each partition that comes to us, then skipped.

Offsets are committed after the insert, so a sink that died between the two leaves rows behind that its
successor would read and insert again. The answer is exact, offset by offset, not a highest offset: an
insert that was cut off may have stored its second half only.
"""

from __future__ import annotations

import logging
import zlib
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from .batch import Message, Place
from .ddl import quoted

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

_NOT_TOLD = {
    KafkaError._UNSUPPORTED_FEATURE,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}

_STORED = """
SELECT min(place) AS first, max(place) AS last
FROM
(
    SELECT place, place - toInt64(row_number() OVER (ORDER BY place)) AS island
    FROM
    (
        SELECT DISTINCT toInt64(kafka_offset) AS place
        FROM {table}
        WHERE kafka_source = {{source:UInt32}} AND kafka_partition = {{partition:UInt32}}
          AND kafka_offset >= {{first:UInt64}}
    )
)
GROUP BY island
ORDER BY first
"""


class Stretches:
    """Offsets that are stored already: closed stretches in ascending order."""

    def __init__(self, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        for first, last in stretches:
            self._first.append(first)
            self._last.append(last)

    def __contains__(self, offset: int) -> bool:
        place = bisect_right(self._first, offset) - 1
        return place >= 0 and offset <= self._last[place]

    @property
    def end(self) -> int:
        """The highest offset in it; -1 where there is none."""
        return self._last[-1] if self._last else -1


def stored(client: Client, database: str, table: str, source: int, partition: int, first: int) -> Stretches:
    """The offsets from `first` on that `table` holds of one partition of one source."""
    query = _STORED.format(table=f"{quoted(database)}.{table}")
    rows = client.query(query, parameters={"source": source, "partition": partition, "first": first}).result_rows
    return Stretches((int(row[0]), int(row[1])) for row in rows)


class Memory:
    """The stretches to skip, by partition, until they are behind us."""

    def __init__(self) -> None:
        self._skips: dict[Place, Stretches] = {}

    def knows(self, place: Place) -> bool:
        return place in self._skips

    def learn(self, place: Place, stretches: Stretches) -> None:
        self._skips[place] = stretches

    def forget(self, places: Iterable[Place]) -> None:
        """For partitions that were just assigned: somebody else may have stored more meanwhile."""
        for place in places:
            self._skips.pop(place, None)

    def fresh(self, place: Place, messages: list[Message]) -> list[Message]:
        """Those of a partition's messages, in order of offset, that are not stored yet."""
        skips = self._skips.get(place)
        if skips is None or not messages or messages[0].offset() > skips.end:
            return messages
        return [message for message in messages if message.offset() not in skips]


def source_of(admin: AdminClient, topic: str) -> int:
    """A number that no other topic has, nor one of the same name that is made anew: 32 bits.

    It is a hash of the topic's name and of the id that the broker gave it when it was made; where the broker
    does not tell, of the name alone. Raises `KafkaException` where no broker answers.
    """
    future = admin.describe_topics(TopicCollection([topic]), request_timeout=10)[topic]
    try:
        uuid = future.result(timeout=15).topic_id
    except KafkaException as error:
        if error.args[0].code() not in _NOT_TOLD:
            raise
        log.warning("topic %s: the broker does not tell its id (%s)", topic, error.args[0].str())
        return zlib.crc32(topic.encode())
    bits = (uuid.get_most_significant_bits(), uuid.get_least_significant_bits()) if uuid else ()
    return zlib.crc32(f"{topic} {bits}".encode())
