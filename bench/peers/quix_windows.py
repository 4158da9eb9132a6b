"""quixstreams: decode each event, count in tumbling windows of 60 s.

Its windows go by the message's key, which is the run: by agent it would first write every event to a topic of
its own (`group_by`), twice the work. State is not copied to a changelog topic, since ours is not either.

`python -m runwatch.bench.peers.quix_windows KAFKA TOPIC GROUP`
"""

from __future__ import annotations

import sys
from tempfile import mkdtemp
from typing import Any

from quixstreams import Application
from quixstreams.models.serializers import Deserializer

from .decoding import decode_counted


class Events(Deserializer):  # type: ignore[misc]  # no types where it is not installed
    """Framed Avro to an event."""

    def __call__(self, value: bytes, ctx: Any) -> dict[str, Any]:
        return decode_counted(value)


def event_time(value: dict[str, Any], headers: Any, timestamp: float, timestamp_type: Any) -> int:
    return int(value["ts_ms"])


def main() -> None:
    kafka, name, group = sys.argv[1:4]
    app = Application(
        kafka,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=mkdtemp(prefix="runwatch-bench-"),
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="ERROR",
        consumer_extra_config={"fetch.message.max.bytes": 4 << 20, "queued.max.messages.kbytes": 64 << 10},
    )
    topic = app.topic(name, value_deserializer=Events(), key_deserializer="bytes", timestamp_extractor=event_time)
    # Fewer looks at other keys than by the default strategy, and fewer results than with `current()`.
    app.dataframe(topic).tumbling_window(60_000, grace_ms=10_000).count().final(closing_strategy="partition")
    app.run()


if __name__ == "__main__":
    main()
