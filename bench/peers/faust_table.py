"""Plain Faust: decode each event, count it in a `tumbling(60)` table by agent.

`python -m runwatch.bench.peers.faust_table KAFKA TOPIC GROUP`
"""

from __future__ import annotations

import sys
from tempfile import mkdtemp
from typing import Any

import faust

from .decoding import decode_counted


def build(kafka: str, topic: str, group: str) -> Any:
    app = faust.App(
        group,
        broker=f"kafka://{kafka}",
        store="memory://",
        datadir=mkdtemp(prefix="runwatch-bench-"),
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        topic_partitions=4,
        # Larger than the defaults, as for any busy topic.
        broker_max_poll_records=5_000,
        consumer_max_fetch_size=4 << 20,
        stream_buffer_maxsize=65_536,
        # Every count goes to the table's changelog topic. By default each is a request of its own, which
        # costs twice the time here and six times as much in the broker.
        producer_linger=0.1,
        producer_max_batch_size=1 << 20,
    )
    counts = app.Table("counts", default=int, partitions=4).tumbling(60.0, expires=300.0)
    events = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(events)  # type: ignore[untyped-decorator]  # Faust ships no types
    async def count(stream: Any) -> None:
        async for value in stream:
            counts[decode_counted(value)["agent"]] += 1

    return app


def main() -> None:
    app = build(*sys.argv[1:4])
    faust.Worker(app, loglevel="ERROR", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
