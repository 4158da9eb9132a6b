"""Topics that are not as they should be: each is told, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from runwatch.commands.doctor.finding import Finding, Level
from runwatch.commands.doctor.topics import Described, Partition, judge
from runwatch.schemas.topics import ALL

WHOLE = Partition(leader=True, replicas=3, in_sync=3)


def fleet(**changed: Any) -> dict[str, Described | None]:
    """Every topic as three brokers should have it; `changed`: by last word of the name."""
    found: dict[str, Described | None] = {}
    for topic in ALL:
        config = {"min.insync.replicas": "2", "max.message.bytes": "1048588", **topic.config}
        found[topic.full_name("p-")] = Described([WHOLE] * (4 if topic.spread else 1), config)
    return found | {f"p-agent.{name}": described for name, described in changed.items()}


def with_config(name: str, **changed: str) -> dict[str, Described | None]:
    described = fleet()[f"p-agent.{name}"]
    assert described is not None
    config = {**described.config, **{key.replace("_", "."): value for key, value in changed.items()}}
    return fleet(**{name: Described(described.partitions, config)})


def bad(found: Mapping[str, Described | None], brokers: int = 3) -> list[Finding]:
    return [one for one in judge(found, brokers, "p-", 4) if one.level is not Level.ok]


def test_topics_as_they_are_made_are_well() -> None:
    assert bad(fleet()) == []
    assert {topic.full_name("p-") for topic in ALL} == {one.where for one in judge(fleet(), 3, "p-", 4)}


@pytest.mark.parametrize(
    ("found", "level", "said", "mend"),
    [
        (fleet(events=None), "error", "is not there", "runwatch sink"),
        (fleet(control=Described([WHOLE] * 2)), "error", "2 partitions where it must have one", "delete it"),
        (with_config("events", message_timestamp_type="CreateTime"), "error", "CreateTime", "timestamp.type=LogAppend"),
        (with_config("control", cleanup_policy="compact,delete"), "error", "in force would be deleted", "=[compact]"),
        (with_config("control", cleanup_policy="delete"), "error", "in force would be deleted", "=[compact]"),
        (with_config("events", cleanup_policy="compact"), "error", "the last alone would stay", "=[delete]"),
        (with_config("events", retention_ms="600000"), "error", "for 10 minutes", "retention.ms=259200000"),
        (with_config("events", retention_ms="86400000"), "note", "for 24 hours", ""),
        (with_config("events", retention_bytes="1000000"), "warning", "deleted, read or not", "retention.bytes=-1"),
        (with_config("windows", max_message_bytes="50000"), "error", "refused as a whole", "max.message.bytes=1048588"),
        (with_config("events", min_insync_replicas="3"), "warning", "one broker away nothing", "replicas=2"),
        (with_config("events", min_insync_replicas="1"), "warning", "on one broker only", "replicas=2"),
        (with_config("events", unclean_leader_election_enable="true"), "warning", "unclean", "enable=false"),
        (fleet(events=Described([Partition(False, 3, 1)] * 4)), "error", "no leader", "start the broker"),
        (fleet(fleet=Described([Partition(True, 3, 2)], fleet()["p-agent.fleet"].config)), "warning", "behind", "down"),  # type: ignore[union-attr]
        (fleet(fleet=Described([Partition(True, 3, 1)], fleet()["p-agent.fleet"].config)), "error", "nothing can be written", "start"),  # type: ignore[union-attr]  # noqa: E501
        (fleet(fleet=Described([Partition(True, 1, 1)], {"min.insync.replicas": "1"})), "warning", "one copy", "RUNWATCH_REPLICATION"),  # noqa: E501
        (fleet(windows=Described([WHOLE] * 2, fleet()["p-agent.windows"].config)), "warning", "different numbers", "add"),  # type: ignore[union-attr]  # noqa: E501
        (fleet(snapshots=Described([WHOLE])), "note", "does not tell its settings", "describe"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_what_to_do(
    found: Mapping[str, Described | None], level: str, said: str, mend: str
) -> None:
    told = [one for one in bad(found) if said in one.what]
    assert [level] == [one.level.value for one in told], bad(found)
    assert mend in told[0].mend


def test_one_broker_needs_no_copies() -> None:
    alone = {
        name: Described([Partition(True, 1, 1)] * len(one.partitions), {**one.config, "min.insync.replicas": "1"})
        for name, one in fleet().items()
        if one is not None
    }
    assert [] == bad(alone, brokers=1)
