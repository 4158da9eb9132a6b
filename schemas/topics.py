"""The topics: their names, keys, partitions and how long they keep what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from .errors import RunwatchError

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """What a topic is for and how it is made."""

    name: str
    """Last word of the name: `events` stands for `PREFIXagent.events`."""
    spread: bool
    """True where the topic takes the events' partition count; False where one partition does."""
    config: dict[str, str] = field(default_factory=dict)

    def full_name(self, prefix: str = "") -> str:
        return f"{prefix}agent.{self.name}"


def _kept(days: int) -> dict[str, str]:
    # The broker's own time, not the event's: history that is imported today must not be
    # deleted as old at once, and processors replay by it.
    return {"retention.ms": str(days * DAY_MS), "message.timestamp.type": "LogAppendTime"}


EVENTS = Topic("events", True, _kept(3))
WINDOWS = Topic("windows", True, _kept(3))
FLEET = Topic("fleet", False, _kept(3))
ANOMALIES = Topic("anomalies", False, _kept(30))
CONTROL = Topic("control", False, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"})
HEALTH = Topic(
    "health",
    False,
    # A worker's last word, and for a day after it fell silent.
    {"cleanup.policy": "compact,delete", "retention.ms": str(DAY_MS), "message.timestamp.type": "LogAppendTime"},
)
ALERTS = Topic(
    "alerts",
    False,
    # Of each episode what each receiver was told last. A reader reads all of it, so old segments are to go.
    {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(7 * DAY_MS),
        "segment.ms": str(DAY_MS),
        "message.timestamp.type": "LogAppendTime",
    },
)
# Which topics a part does not read on: a word of it has to stand until somebody takes it back.
HOLDS = Topic("holds", False, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"})
SNAPSHOTS = Topic("snapshots", False, _kept(14))
DEADLETTER = Topic("deadletter", False, _kept(14))

ALL = (EVENTS, WINDOWS, FLEET, ANOMALIES, CONTROL, HEALTH, ALERTS, HOLDS, SNAPSHOTS, DEADLETTER)


class TopicsError(RunwatchError):
    """The topics could not be made; the message says which, why, and what to do."""


def ensure_topics(
    bootstrap: str,
    prefix: str = "",
    *,
    partitions: int = 4,
    replication: int = 1,
    timeout_s: float = 20.0,
    extra: dict[str, str] | None = None,
) -> list[str]:
    """Makes the topics that are not there yet and returns their names; those that are there stay as they are.

    `extra`: further settings of the client, such as its security. Raises `TopicsError`.
    """
    # Without a logger librdkafka writes its every failed connection to stderr itself; the error below tells.
    heard: list[str] = []
    config = {"bootstrap.servers": bootstrap, "log_level": 0, **(extra or {})}
    client = AdminClient({**config, "error_cb": lambda error: heard.append(error.str())})
    wanted = [
        NewTopic(
            topic.full_name(prefix),
            num_partitions=partitions if topic.spread else 1,
            replication_factor=replication,
            config=dict(topic.config),
        )
        for topic in ALL
    ]
    made: list[str] = []
    refused: dict[str, KafkaException] = {}
    for name, future in client.create_topics(wanted, request_timeout=timeout_s, operation_timeout=timeout_s).items():
        try:
            future.result(timeout=timeout_s + 5)
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if error.args[0].code() not in _DENIED:
                client.poll(0)
                # The first is why, such as a password that is wrong; later ones, that nobody is left to be asked.
                raise _not_made(name, bootstrap, heard[0] if heard else error.args[0].str()) from error
            refused[name] = error
    if refused:
        # Who may not make topics is not told either that they are there.
        there = _seen(client, timeout_s)
        for name, denied in refused.items():
            if name not in there:
                raise _not_made(name, bootstrap, denied.args[0].str()) from denied
    return made


_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


def _seen(client: AdminClient, timeout_s: float) -> set[str]:
    """The topics that this client may know of."""
    try:
        return set(client.list_topics(timeout=timeout_s).topics)
    except KafkaException:
        return set()


def _not_made(name: str, bootstrap: str, why: str) -> TopicsError:
    return TopicsError(
        f"Topic {name} could not be made on the broker at {bootstrap}: {why}. "
        "Is the broker up, and may this client create topics?"
    )


def shorten(
    bootstrap: str,
    prefix: str,
    days: Mapping[str, int],
    *,
    timeout_s: float = 20.0,
    extra: dict[str, str] | None = None,
) -> list[str]:
    """Has topics that keep longer than these days keep for so many, and returns what changed; none is lengthened.

    `days`: by last word of the name. Topics that are not there are passed over. Raises `TopicsError`.
    """
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, **(extra or {})})
    most = {f"{prefix}agent.{name}": count * DAY_MS for name, count in days.items()}
    changes = []
    try:
        asked = client.describe_configs(
            [ConfigResource(ResourceType.TOPIC, name) for name in most], request_timeout=timeout_s
        )
        for resource, future in asked.items():
            try:
                kept_ms = int(future.result(timeout=timeout_s + 5)["retention.ms"].value)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise
            if not 0 <= kept_ms <= most[resource.name]:
                entry = ConfigEntry(
                    "retention.ms", str(most[resource.name]), incremental_operation=AlterConfigOpType.SET
                )
                changes.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=[entry]))
        if changes:
            for done in client.incremental_alter_configs(changes, request_timeout=timeout_s).values():
                done.result(timeout=timeout_s + 5)
    except KafkaException as error:
        raise TopicsError(
            f"How long topics are kept could not be set on the broker at {bootstrap}: {error.args[0].str()}. "
            "Is the broker up, and may this client alter topics?"
        ) from error
    return [f"{one.name} for {most[one.name] // DAY_MS} days" for one in changes]
