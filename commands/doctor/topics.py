"""What the topics should be like, held against what they are. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...schemas.topics import ALL, CONTROL, EVENTS, WINDOWS, Topic
from .finding import Finding, error, note, ok, warning

CHECK = "topics"
LEAST_MS = 2 * 3_600_000
"""What a topic should keep at the least: what workers replay when they start, and time to mend a worker."""
LEAST_BYTES = 1_000_000
"""Clients send batches of up to so many bytes; a topic that takes less refuses whole batches of good messages."""
KEEPS_LESS = 0.5
"""A topic that keeps less than this part of what it is made with is worth a word."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as the broker describes it."""

    leader: bool
    """Whether there is a broker that leads it."""
    replicas: int
    in_sync: int


@dataclass(frozen=True, slots=True)
class Described:
    """One topic as the broker describes it."""

    partitions: Sequence[Partition]
    config: Mapping[str, str] = field(default_factory=dict)
    """Empty where the broker does not tell."""


def judge(found: Mapping[str, Described | None], brokers: int, prefix: str, wanted: int) -> Iterator[Finding]:
    """Findings on every topic of a fleet.

    `found`: by full name, None for one that is not there; `brokers`: how many there are; `wanted`: RUNWATCH_PARTITIONS.
    """
    for topic in ALL:
        name = topic.full_name(prefix)
        described = found.get(name)
        if described is None:
            yield error(
                CHECK, name, "is not there", "start `runwatch sink` or `runwatch process`, which make what is missing"
            )
            continue
        findings = [*_partitions(topic, name, described, wanted), *_copies(name, described, brokers)]
        if described.config:
            findings += _settings(topic, name, described.config)
        else:
            findings.append(
                note(
                    CHECK, name, "the broker does not tell its settings", "let this user describe the topic's settings"
                )
            )
        yield from findings or [ok(CHECK, name, _as_it_is(described))]
    yield from _alike(found, prefix)


def _as_it_is(described: Described) -> str:
    count, copies = len(described.partitions), min(one.replicas for one in described.partitions)
    return f"{count} partition{'s' * (count > 1)}, {copies} cop{'ies' if copies > 1 else 'y'}"


def _partitions(topic: Topic, name: str, described: Described, wanted: int) -> Iterator[Finding]:
    count = len(described.partitions)
    if not topic.spread and count != 1:
        yield error(
            CHECK,
            name,
            f"has {count} partitions where it must have one: whoever reads it goes by one order, and by one partition",
            f"stop what writes to {name}, delete it, and start the sink, which makes it anew",
        )
    elif topic is EVENTS and count < wanted:
        yield note(
            CHECK,
            name,
            f"has {count} partitions and RUNWATCH_PARTITIONS is {wanted}: that number holds when a topic is made",
            "add partitions while no run is under way: a run's events would be told apart",
        )


def _copies(name: str, described: Described, brokers: int) -> Iterator[Finding]:
    copies = min(one.replicas for one in described.partitions)
    least = int(described.config.get("min.insync.replicas", "1"))
    headless = sum(not one.leader for one in described.partitions)
    behind = sum(one.leader and one.in_sync < one.replicas for one in described.partitions)
    short = sum(one.leader and one.in_sync < least for one in described.partitions)
    if headless:
        what = f"{headless} partitions have no leader: nothing can be written or read"
        yield error(CHECK, name, what, "start the broker that is down")
    if short:
        yield error(
            CHECK,
            name,
            f"{short} partitions have fewer copies in step than min.insync.replicas ({least}): nothing can be written",
            "start the broker that is down, or wait until it has caught up",
        )
    elif behind:
        yield warning(CHECK, name, f"{behind} partitions have copies that are behind", "see whether a broker is down")
    if copies > 1 and least >= copies:
        yield warning(
            CHECK,
            name,
            f"min.insync.replicas is {least} of {copies} copies: with one broker away nothing can be written",
            set_to(name, "min.insync.replicas", str(copies - 1)),
        )
    elif copies >= 3 and least < 2:
        yield warning(
            CHECK,
            name,
            f"min.insync.replicas is {least} of {copies} copies: a message may be on one broker only when it is lost",
            set_to(name, "min.insync.replicas", "2"),
        )
    elif copies == 1 and brokers > 1:
        yield warning(
            CHECK,
            name,
            f"there is one copy, and {brokers} brokers: the loss of a disk is the loss of what is on it",
            "set RUNWATCH_REPLICATION before topics are made; of one that is there, kafka-reassign-partitions.sh",
        )


def _settings(topic: Topic, name: str, config: Mapping[str, str]) -> Iterator[Finding]:
    kind = config.get("message.timestamp.type", "LogAppendTime")
    if kind != "LogAppendTime":
        yield error(
            CHECK,
            name,
            f"message.timestamp.type is {kind}: workers replay by the broker's time, and imported history is deleted"
            " at once",
            set_to(name, "message.timestamp.type", "LogAppendTime"),
        )
    policy = {part.strip() for part in config.get("cleanup.policy", "delete").split(",")}
    wanted = set(topic.config.get("cleanup.policy", "delete").split(","))
    if policy != wanted:
        why = (
            "commands that are in force would be deleted with time"
            if topic is CONTROL
            else "of several messages with one key the last alone would stay"
            if "compact" in policy - wanted
            else "what is replaced or past would stay"
        )
        yield error(
            CHECK,
            name,
            f"cleanup.policy is {','.join(sorted(policy))}: {why}",
            set_to(name, "cleanup.policy", f"[{topic.config.get('cleanup.policy', 'delete')}]"),
        )
    yield from _retention(topic, name, config)
    if int(config.get("max.message.bytes", LEAST_BYTES)) < LEAST_BYTES:
        yield error(
            CHECK,
            name,
            f"max.message.bytes is {config['max.message.bytes']}: batches of up to {LEAST_BYTES:,} bytes are sent,"
            " and refused as a whole",
            set_to(name, "max.message.bytes", "1048588"),
        )
    if config.get("unclean.leader.election.enable") == "true":
        yield warning(
            CHECK,
            name,
            "unclean.leader.election.enable is on: a broker that was behind may lead, and what it missed is lost",
            set_to(name, "unclean.leader.election.enable", "false"),
        )


def _retention(topic: Topic, name: str, config: Mapping[str, str]) -> Iterator[Finding]:
    if "retention.ms" not in topic.config:
        return
    usual_ms, kept_ms = int(topic.config["retention.ms"]), int(config.get("retention.ms", "-1"))
    if 0 <= kept_ms < LEAST_MS:
        yield error(
            CHECK,
            name,
            f"keeps messages for {kept_ms / 60_000:.0f} minutes: what nobody read by then is lost",
            set_to(name, "retention.ms", str(usual_ms)),
        )
    elif 0 <= kept_ms < usual_ms * KEEPS_LESS:
        yield note(
            CHECK,
            name,
            f"keeps messages for {kept_ms / 3_600_000:.0f} hours; topics are made with {usual_ms / 3_600_000:.0f}",
        )
    if int(config.get("retention.bytes", "-1")) >= 0:
        yield warning(
            CHECK,
            name,
            f"retention.bytes is {config['retention.bytes']}: what is beyond that is deleted, read or not",
            set_to(name, "retention.bytes", "-1"),
        )


def _alike(found: Mapping[str, Described | None], prefix: str) -> Iterator[Finding]:
    counts = {
        name: len(described.partitions)
        for topic in (EVENTS, WINDOWS)
        if (described := found.get(name := topic.full_name(prefix))) is not None
    }
    if len(set(counts.values())) > 1:
        yield warning(
            CHECK,
            ", ".join(counts),
            "have different numbers of partitions (" + ", ".join(map(str, counts.values())) + "): workers share the"
            " work of each by itself, and unevenly",
            "add partitions to the one that has fewer while no run is under way",
        )


def set_to(name: str, setting: str, value: str) -> str:
    """The command that sets a topic's setting."""
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {setting}={value}"
