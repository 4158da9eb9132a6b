"""Waits until all that was written is read: of every topic that a group reads, not of the events alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from runwatch.config import Settings

Places = dict[tuple[str, int], int]


def unread(settings: Settings, groups: Sequence[str], patience_s: float) -> dict[str, Places]:
    """What each group has left unread of what was there at the beginning, by topic and partition, once nothing is
    left of that or patience ends.
    """
    admin = AdminClient(settings.kafka_client(log_level=0))
    names = [f"{settings.prefix}runwatch-{group}" for group in groups]
    deadline = time.monotonic() + patience_s
    ends: dict[str, Places] = {}
    left: dict[str, Places] = {name: {("", 0): -1} for name in names}
    while any(left.values()) and time.monotonic() < deadline:
        # A broker or a coordinator may only just be up again.
        with suppress(KafkaException):
            committed = {name: _committed(admin, name) for name in names}
            # Who reads one partition of a topic has to read all, though nothing may be committed of them yet.
            ends = ends or {name: _ends(admin, {topic for topic, _ in committed[name]}) for name in names}
            left = {
                name: {
                    place: end - committed[name].get(place, 0)
                    for place, end in ends[name].items()
                    if committed[name].get(place, 0) < end
                }
                for name in names
            }
        time.sleep(0.5)
    return {name: places for name, places in left.items() if places}


def _committed(admin: AdminClient, group: str) -> Places:
    (answer,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=10).values()
    places = answer.result(12).topic_partitions or []
    return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}


def _ends(admin: AdminClient, topics: set[str]) -> Places:
    known = admin.list_topics(timeout=10).topics
    latest = {
        TopicPartition(topic, number): OffsetSpec.latest() for topic in topics for number in known[topic].partitions
    }
    answers = admin.list_offsets(latest, request_timeout=10)
    return {(place.topic, place.partition): answer.result(12).offset for place, answer in answers.items()}
