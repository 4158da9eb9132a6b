"""A small compacted topic, read to its end: the last message of each key is what stands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

_NO_LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""A topic that was only just made, or whose broker was: soon it has one."""
_AGAIN_S = 0.2


def standing(client: Mapping[str, Any], topic: str, timeout_s: float) -> Iterator[Message]:
    """The messages of the topic's one partition, the oldest first, up to what is the last one now.

    `client`: how to reach Kafka. Raises `KafkaException`, and `TimeoutError` where it takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    consumer = Consumer(
        {
            # No group is joined: the partition is assigned by hand, and nothing is committed.
            "group.id": "runwatch-standing",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "allow.auto.create.topics": False,
            **client,
        }
    )
    try:
        place = TopicPartition(topic, 0, OFFSET_BEGINNING)
        end = _end(consumer, place, deadline)
        consumer.assign([place])
        at = 0
        while at < end:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} was not read within {timeout_s:g} s")
            message = consumer.poll(0.1)
            if message is None or message.error():
                # Compaction may have taken the very last: then there is nothing more, and the position says so.
                (position,) = consumer.position([place])
                at = max(at, position.offset)
                continue
            at = (message.offset() or 0) + 1
            yield message
    finally:
        consumer.close()


def _end(consumer: Consumer, place: TopicPartition, deadline: float) -> int:
    while True:
        try:
            _, end = consumer.get_watermark_offsets(place, timeout=max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)
        else:
            return int(end)
