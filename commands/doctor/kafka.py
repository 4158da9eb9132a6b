"""Asks the brokers: who they are, what the topics are like, who reads them, what their clock says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from ...config import Settings
from ...schemas.topics import ALL, ANOMALIES, EVENTS, FLEET, HEALTH, WINDOWS
from ...sinks.routes import routes
from . import groups, topics, versions
from .clock import skew
from .finding import Finding, away, note, ok, warning
from .groups import Group, Place
from .topics import Described, Partition

ANSWER_S = 5.0
BROKER = "broker"
READ_BY_PROCESSORS = (EVENTS, WINDOWS, FLEET, ANOMALIES)


@dataclass(frozen=True, slots=True)
class Tail:
    """The last message of one partition."""

    topic: str
    """Last word of its name."""
    partition: int
    value: bytes | None


class Broker:
    """A Kafka cluster that is asked and not changed. Each method may raise `KafkaException`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = settings.kafka_client(log_level=0)
        self._admin = AdminClient(self._config)

    def nodes(self) -> tuple[str, list[str]]:
        """The cluster's id, and the addresses of the brokers that are up."""
        found = self._admin.describe_cluster(request_timeout=ANSWER_S).result(timeout=ANSWER_S + 5)
        return str(found.cluster_id), [f"{node.host}:{node.port}" for node in found.nodes]

    def topics(self) -> dict[str, Described | None]:
        """Every topic of the fleet by its full name; None for one that is not there."""
        names = [topic.full_name(self._settings.prefix) for topic in ALL]
        asked = self._admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_S)
        found: dict[str, Described | None] = {}
        for name, future in asked.items():
            try:
                partitions = [
                    Partition(one.leader is not None and one.leader.id >= 0, len(one.replicas), len(one.isr))
                    for one in future.result(timeout=ANSWER_S + 5).partitions
                ]
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                found[name] = None
            else:
                found[name] = Described(partitions, self._topic_config(name))
        return found

    def _topic_config(self, name: str) -> dict[str, str]:
        asked = self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)], request_timeout=ANSWER_S)
        try:
            (future,) = asked.values()
            return {
                one.name: one.value for one in future.result(timeout=ANSWER_S + 5).values() if one.value is not None
            }
        except KafkaException as error:
            if error.args[0].code() in _DENIED:
                return {}
            raise

    def ends(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """The first offset of each partition and the one after its last."""
        asked = [TopicPartition(*place) for place in places]
        found: list[dict[Place, int]] = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            answers = self._admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=ANSWER_S) if asked else {}
            found.append(
                {
                    (place.topic, place.partition): int(future.result(timeout=ANSWER_S + 5).offset)
                    for place, future in answers.items()
                }
            )
        return {place: (first, found[1][place]) for place, first in found[0].items()}

    def group(self, name: str, part: str, places: Iterable[Place]) -> Group:
        """A consumer group: who is in it, and what it has committed of these partitions."""
        members = self._members(name)
        # A consumer that joins nothing: of a group that is not there it is told that nothing is committed.
        consumer = Consumer({**self._config, "group.id": name, "enable.auto.commit": False})
        try:
            answered = consumer.committed([TopicPartition(*place) for place in places], timeout=ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() not in _DENIED:
                raise
            answered = []
        finally:
            consumer.close()
        return Group(part, members, {(one.topic, one.partition): one.offset for one in answered if one.offset >= 0})

    def _members(self, name: str) -> int | None:
        """How many are in a group; None where the broker does not tell."""
        for pause_s in (0.5, 1.0, 2.0, 0.0):
            try:
                (future,) = self._admin.describe_consumer_groups([name], request_timeout=ANSWER_S).values()
                return len(future.result(timeout=ANSWER_S + 5).members)
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    return 0
                if code in _DENIED:
                    return None
                if code not in _SETTLING or not pause_s:
                    raise
                time.sleep(pause_s)
        return None

    def groups_of(self, beginning: str) -> list[str]:
        """Names of the groups that begin so."""
        found = self._admin.list_consumer_groups(request_timeout=ANSWER_S).result(timeout=ANSWER_S + 5)
        return sorted(one.group_id for one in found.valid if one.group_id.startswith(beginning))

    def tails(self, ends: Mapping[Place, tuple[int, int]]) -> Iterator[Tail]:
        """The last message of each partition that has one."""
        consumer = Consumer({**self._config, "group.id": "runwatch-doctor", "enable.auto.commit": False})
        try:
            held = {place: end for place, (first, end) in ends.items() if end > first}
            consumer.assign([TopicPartition(*place, end - 1) for place, end in held.items()])
            deadline = time.monotonic() + ANSWER_S
            while held and time.monotonic() < deadline:
                message = consumer.poll(0.1)
                if message is None or message.error():
                    continue
                if held.pop((message.topic(), message.partition()), None) is not None:
                    word = message.topic().removeprefix(self._settings.prefix).removeprefix("agent.")
                    yield Tail(word, message.partition(), message.value())
        finally:
            consumer.close()

    def clock_ahead_ms(self) -> tuple[float, float]:
        """How far the broker's clock is ahead of ours, and how wrong that may be.

        A broker tells its time by the time at which it appended a message. So one is sent: a deletion of what nobody
        has said, in the topic of the workers' last words, where it changes nothing.
        """
        producer = Producer({**self._config, "message.timeout.ms": int(ANSWER_S * 1000)})
        producer.list_topics(self._settings.topic(HEALTH.name), timeout=ANSWER_S)  # so that it is not waited for below
        answered: list[tuple[KafkaError | None, int]] = []

        def told(error: KafkaError | None, message: Message) -> None:
            answered.append((error, 0 if error else message.timestamp()[1]))

        before_ms = time.time() * 1000
        producer.produce(self._settings.topic(HEALTH.name), None, b"runwatch-doctor", on_delivery=told)
        producer.flush(ANSWER_S)
        after_ms = time.time() * 1000
        if not answered:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        error, there_ms = answered[0]
        if error is not None:
            raise KafkaException(error)
        return there_ms - (before_ms + after_ms) / 2, (after_ms - before_ms) / 2


_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
_SETTLING = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}
"""What a cluster says in which nobody ever joined a group, or a broker has only just started."""


def look(settings: Settings, broker: Broker) -> Iterator[Finding | list[Tail]]:
    """Findings on brokers, topics, groups and clock, and the last messages of all topics for who knows schemas.

    Raises `KafkaException` where nobody answers.
    """
    cluster, nodes = broker.nodes()
    yield ok(BROKER, settings.kafka, f"{len(nodes)} broker{'s' * (len(nodes) != 1)}, cluster {cluster}")
    for node in nodes:
        yield versions.look(settings.kafka_access, node)
    if 1 < len(nodes) < 3:
        yield warning(
            BROKER,
            settings.kafka,
            "there are two brokers: with two copies, either one's loss stops writes or risks what is written",
            "run three, with RUNWATCH_REPLICATION=3 and min.insync.replicas=2",
        )
    found = broker.topics()
    yield from topics.judge(found, len(nodes), settings.prefix, settings.partitions)
    ends = broker.ends(
        (name, at)
        for name, described in found.items()
        if described is not None
        for at, one in enumerate(described.partitions)
        if one.leader
    )
    yield from _groups(settings, broker, ends)
    yield from _clock(settings, broker, found.get(settings.topic(HEALTH.name)) is not None)
    yield list(broker.tails(ends))


def _groups(settings: Settings, broker: Broker, ends: Mapping[Place, tuple[int, int]]) -> Iterator[Finding]:
    prefix = settings.prefix
    read = {
        f"{prefix}runwatch-processors": ("runwatch process", {settings.topic(one.name) for one in READ_BY_PROCESSORS}),
        f"{prefix}runwatch-sink": ("runwatch sink", set(routes(settings))),
    }
    for name in broker.groups_of(f"{prefix}runwatch-alerts-"):
        read[name] = ("runwatch alerts", {settings.topic(ANOMALIES.name)})
    for name, (part, names) in read.items():
        its = {place: end for place, end in ends.items() if place[0] in names}
        yield from groups.judge(name, broker.group(name, part, its), its)


def _clock(settings: Settings, broker: Broker, has_topic: bool) -> Iterator[Finding]:
    if not has_topic:
        return
    try:
        yield skew(settings.kafka, *broker.clock_ahead_ms())
    except KafkaException as error:
        yield note(
            "clock",
            settings.kafka,
            f"the broker's clock could not be asked ({error.args[0].str()})",
            f"let this user write to {settings.topic(HEALTH.name)}, which tells the time",
        )


def unanswered(settings: Settings, error: Any) -> Finding:
    """What is said where no broker answers."""
    return away(
        BROKER,
        settings.kafka,
        f"does not answer ({error})",
        "see whether it is up, and whether RUNWATCH_KAFKA is its address",
    )
