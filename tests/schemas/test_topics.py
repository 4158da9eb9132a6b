"""The topics, made on a real broker."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from runwatch.schemas import topics
from runwatch.schemas.topics import TopicsError, ensure_topics


def test_names_are_the_designs() -> None:
    assert [
        "eu-agent.events", "eu-agent.windows", "eu-agent.fleet", "eu-agent.anomalies", "eu-agent.control",
        "eu-agent.health", "eu-agent.alerts", "eu-agent.holds", "eu-agent.snapshots", "eu-agent.deadletter",
    ] == [topic.full_name("eu-") for topic in topics.ALL]  # fmt: skip


def test_what_is_kept_is_the_designs() -> None:
    days = {topic.name: int(topic.config.get("retention.ms", 0)) // topics.DAY_MS for topic in topics.ALL}
    assert {
        "events": 3, "windows": 3, "fleet": 3, "anomalies": 30, "control": 0, "health": 1,
        "alerts": 7, "holds": 0, "snapshots": 14, "deadletter": 14,
    } == days  # fmt: skip
    assert topics.CONTROL.config["cleanup.policy"] == "compact"


@pytest.mark.stack
def test_topics_are_made_once_under_a_prefix_of_the_tests_own(stack: Any) -> None:
    its = stack.unique(partitions=2)
    expected = sorted(topic.full_name(its.prefix) for topic in topics.ALL)
    assert expected == sorted(ensure_topics(stack.kafka, its.prefix, partitions=its.partitions))
    assert [] == ensure_topics(stack.kafka, its.prefix, partitions=its.partitions)
    assert its.prefix != stack.unique().prefix


def partitions_of(admin: AdminClient, name: str) -> int:
    """How many partitions a topic has, as soon as the broker tells of any."""
    deadline = time.monotonic() + 10
    while True:
        found = admin.list_topics(name, timeout=10).topics[name].partitions
        if found or time.monotonic() > deadline:
            return len(found)


@pytest.mark.stack
def test_topics_have_the_partitions_and_settings_asked_for(stack: Any) -> None:
    its = stack.unique(partitions=3)
    ensure_topics(stack.kafka, its.prefix, partitions=3)
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    for topic in topics.ALL:
        name = topic.full_name(its.prefix)
        assert (3 if topic.spread else 1) == partitions_of(admin, name)
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        config = admin.describe_configs([resource])[resource].result(timeout=10)
        assert topic.config == {key: config[key].value for key in topic.config}


@pytest.mark.stack
def test_a_topic_that_cannot_be_made_is_told(stack: Any) -> None:
    with pytest.raises(TopicsError, match=r"Topic .* could not be made on the broker at 127"):
        ensure_topics(stack.kafka, stack.unique().prefix, replication=3)


def test_a_broker_that_is_away_is_told_in_time() -> None:
    with pytest.raises(TopicsError, match="Is the broker up"):
        ensure_topics("127.0.0.1:1", timeout_s=1.0)
