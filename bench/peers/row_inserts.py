"""Rows into ClickHouse as most do it: decode each event, `clickhouse_connect`'s `insert` of 50,000 rows at a time.

Into the very table that the sink fills, without its landing table and view. Offsets are committed after each
insert; a crash between the two stores rows twice, which the sink does not.

`python -m runwatch.bench.peers.row_inserts KAFKA TOPIC GROUP HOST PORT DATABASE`
"""

from __future__ import annotations

import sys
import time

import clickhouse_connect
from confluent_kafka import Consumer

from .decoding import FIELDS, decode

ROWS = 50_000
_COLUMNS = [
    *("ts" if name == "ts_ms" else name for name in FIELDS),
    *("kafka_source", "kafka_partition", "kafka_offset", "ingested_at"),
]


def main() -> None:
    kafka, topic, group, host, port, database = sys.argv[1:7]
    client = clickhouse_connect.get_client(host=host, port=int(port), database=database, compress=False)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 4 << 20,
            "queued.max.messages.kbytes": 64 << 10,
        }
    )
    consumer.subscribe([topic])
    # Asked once: the client would ask ClickHouse for the columns' types before each insert.
    types = client.create_insert_context("events_stored", _COLUMNS).column_types
    rows: list[list[object]] = []
    while True:
        messages = consumer.consume(10_000, 1.0)
        for message in messages:
            event = decode(message.value())
            rows.append([*event.values(), 1, message.partition(), message.offset(), int(time.time() * 1000)])
        if len(rows) >= ROWS or (rows and not messages):
            client.insert("events_stored", rows, column_names=_COLUMNS, column_types=types)
            consumer.commit(asynchronous=False)
            rows = []


if __name__ == "__main__":
    main()
