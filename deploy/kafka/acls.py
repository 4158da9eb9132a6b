"""Least rights for each part of runwatch on a Kafka cluster: makes the topics, then the access control lists.

    RUNWATCH_KAFKA=broker:9093 RUNWATCH_KAFKA_USER=admin RUNWATCH_KAFKA_PASSWORD_FILE=admin.secret \
        python deploy/kafka/acls.py --agents User:checkout --agents User:support

An administrator runs it, with the settings that everything else goes by (docs/security.md): the address, the security
and RUNWATCH_PREFIX. It can be run again: what stands stays, and nothing is taken away. `--print` changes nothing, and
writes the same as commands of Kafka's own tool.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from runwatch.config import Settings, load
from runwatch.schemas.errors import RunwatchError
from runwatch.schemas.topics import ensure_topics

READ, WRITE, DESCRIBE, CONFIGS = "READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"
WAIT_S = 20.0


@dataclass(frozen=True)
class Right:
    """What may be done with which topics or groups."""

    kind: str
    """`topic` or `group`."""
    names: tuple[str, ...]
    """Without the prefix, and of topics the last word; one that ends in `*` stands for all that begin so."""
    operations: tuple[str, ...]


def topics(*operations: str, of: str) -> Right:
    return Right("topic", tuple(of.split()), operations)


def groups(*operations: str, of: str) -> Right:
    return Right("group", tuple(of.split()), operations)


# To write or read a topic includes to describe it. An idempotent producer needs no more than that it may write, and a
# reader that joins no group needs none.
ROLES: Mapping[str, tuple[Right, ...]] = {
    # The SDK: its events, and what it is told. It cannot read what other agents send, nor tell them anything.
    "agents": (
        topics(WRITE, of="events snapshots"),
        topics(READ, of="control"),
    ),
    "processors": (
        topics(DESCRIBE, of="*"),
        topics(READ, of="events windows fleet anomalies control holds"),
        topics(WRITE, of="windows fleet anomalies control health holds deadletter"),
        groups(READ, of="runwatch-processors"),
    ),
    # It shortens topics that keep longer than the tables, where it may alter them: grant that only to who may delete.
    "sink": (
        topics(DESCRIBE, CONFIGS, of="*"),
        topics(READ, of="events windows anomalies control snapshots deadletter holds"),
        topics(WRITE, of="deadletter health holds"),
        groups(READ, of="runwatch-sink"),
    ),
    "alerts": (
        topics(DESCRIBE, of="*"),
        topics(READ, of="anomalies control alerts holds"),
        topics(WRITE, of="alerts health"),
        groups(READ, of="runwatch-alerts-*"),
    ),
    # What it shows is in ClickHouse.
    "console": (
        topics(READ, WRITE, of="control"),
        topics(READ, of="health holds"),
    ),
    # People at the command line: kill, allow, approve, status, doctor, import, deadletter retry.
    "operator": (
        topics(READ, CONFIGS, of="*"),
        topics(WRITE, of="events windows fleet anomalies control health alerts holds snapshots deadletter"),
        groups(DESCRIBE, of="runwatch-*"),
    ),
}


def bindings(role: str, principal: str, prefix: str = "") -> Iterator[AclBinding]:
    """The entries that give a principal, such as `User:sink`, the rights of a role, from any host."""
    for right in ROLES[role]:
        for name in right.names:
            begins = name.endswith("*")
            word = name.removesuffix("*")
            for operation in right.operations:
                yield AclBinding(
                    ResourceType.TOPIC if right.kind == "topic" else ResourceType.GROUP,
                    f"{prefix}agent.{word}" if right.kind == "topic" else f"{prefix}{word}",
                    ResourcePatternType.PREFIXED if begins else ResourcePatternType.LITERAL,
                    principal,
                    "*",
                    AclOperation[operation],
                    AclPermissionType.ALLOW,
                )


def command(one: AclBinding, bootstrap: str) -> str:
    """The same entry as a command of Kafka's own tool."""
    operation = "".join(word.capitalize() for word in one.operation.name.split("_"))
    what = ["--topic" if one.restype == ResourceType.TOPIC else "--group", one.name]
    how = ["--resource-pattern-type", one.resource_pattern_type.name.lower()]
    return shlex.join(
        ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "admin.properties", "--add",
         "--allow-principal", one.principal, "--operation", operation, *what, *how]
    )  # fmt: skip


def apply(settings: Settings, wanted: Sequence[AclBinding]) -> list[str]:
    """Makes topics and entries; returns the topics that were made. Raises `RunwatchError`."""
    security = settings.kafka_client(log_level=0)
    made = ensure_topics(
        settings.kafka,
        settings.prefix,
        partitions=settings.partitions,
        replication=settings.replication,
        extra=security,
    )
    client = AdminClient(security)
    try:
        for done in client.create_acls(list(wanted), request_timeout=WAIT_S).values():
            done.result(timeout=WAIT_S + 5)
    except KafkaException as error:
        raise RunwatchError(
            f"The rights could not be set on the broker at {settings.kafka}: {error.args[0].str()}. Has it an "
            "authorizer, and may this user alter the cluster?"
        ) from error
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done; 3 where the broker is away or does not let this user do it."""
    parser = argparse.ArgumentParser(prog="acls.py", description=(__doc__ or "").split("\n")[0])
    for role in ROLES:
        usual = f"User:runwatch-{role}"
        parser.add_argument(
            f"--{role}", action="append", metavar="PRINCIPAL", help=f"may be given more than once (usual: {usual})"
        )
    parser.add_argument("--print", action="store_true", help="write commands of kafka-acls.sh, and change nothing")
    options = vars(parser.parse_args(arguments))
    settings = load()
    wanted = [
        one
        for role in ROLES
        for principal in options[role] or [f"User:runwatch-{role}"]
        for one in bindings(role, principal, settings.prefix)
    ]
    if options["print"]:
        print("\n".join(command(one, settings.kafka) for one in wanted))
        return 0
    try:
        made = apply(settings, wanted)
    except RunwatchError as error:
        print(error, file=sys.stderr)
        return 3
    print(
        f"{len(made)} topics made; {len(wanted)} rights of {len({one.principal for one in wanted})} principals stand."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
