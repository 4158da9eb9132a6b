"""Waits for the processors: until they have read whatever stands in the event topic."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ..config import Settings
from ..schemas.topics import EVENTS

GROUP = "runwatch-processors"
LOOK_S = 0.1
ANSWER_S = 5.0


def wait_read(settings: Settings, timeout_s: float) -> bool:
    """True once all events of now are read, by what the processors have committed; False after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    topic = settings.topic(EVENTS.name)
    consumer = Consumer(
        # Looked at, and not joined.
        {**settings.kafka_client(), "group.id": f"{settings.prefix}{GROUP}", "log_level": 0}
    )
    try:
        while time.monotonic() < deadline:
            try:
                partitions = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
                ends = {one: consumer.get_watermark_offsets(TopicPartition(topic, one), ANSWER_S) for one in partitions}
                break
            except KafkaException:
                time.sleep(LOOK_S)
        else:
            return False
        while time.monotonic() < deadline:
            try:
                read = consumer.committed([TopicPartition(topic, one) for one in ends], timeout=ANSWER_S)
                # A partition of which nothing is committed has a negative offset.
                if all(max(one.offset, ends[one.partition][0]) >= ends[one.partition][1] for one in read):
                    return True
            except KafkaException:
                pass  # the group may only just be moving
            time.sleep(LOOK_S)
        return False
    finally:
        consumer.close()
