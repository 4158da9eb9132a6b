"""Groups, clocks, disks, packages and tables that are not as they should be."""

from __future__ import annotations

import pytest

from runwatch.commands.doctor.clock import skew
from runwatch.commands.doctor.finding import GIB, Level, room
from runwatch.commands.doctor.groups import Group, judge
from runwatch.commands.doctor.held import of_holds
from runwatch.commands.doctor.machine import fits, of_packages
from runwatch.commands.doctor.store import LANDINGS, of_columns, of_migrations
from runwatch.schemas.avro import load
from runwatch.schemas.holds import Hold

ENDS = {("agent.events", 0): (100, 1_000), ("agent.events", 1): (0, 500_000)}


def group(members: int | None = 1, first: int = 900, second: int = 499_990) -> Group:
    return Group("runwatch sink", members, {("agent.events", 0): first, ("agent.events", 1): second})


@pytest.mark.parametrize(
    ("of", "levels", "said", "mend"),
    [
        (group(), ["ok"], "1 member, 110 messages to read", ""),
        (group(0), ["error"], "nobody is in this group, and 110 messages wait", "start `runwatch sink`"),
        (group(2, second=10), ["warning"], "is 499,990 messages behind in agent.events", "start one more"),
        (
            group(1, first=60),
            ["error"],
            "40 messages were deleted before they were read",
            "keep agent.events for longer",
        ),
        (group(1, first=2_000), ["error"], "was read up to 2,000 and ends at 1,000", "--reset-offsets"),
        (group(None), ["note"], "does not tell who is in it", "describe groups"),
        (Group("runwatch sink", 1), ["warning"], "500,000 messages behind", "start one more"),
    ],
)
def test_a_group(of: Group, levels: list[str], said: str, mend: str) -> None:
    found = list(judge("runwatch-sink", of, ENDS))
    assert levels == [one.level.value for one in found]
    assert said in found[0].what
    assert mend in found[0].mend


@pytest.mark.parametrize(
    ("ahead_ms", "unsure_ms", "level", "said"),
    [
        (100, 10, "ok", "agrees with ours within 0.1 s"),
        (-2_500, 10, "warning", "2.5 s behind ours"),
        (2_500, 1_000, "ok", "within 3.5 s"),
        (90_000, 10, "error", "90.0 s ahead of ours"),
    ],
)
def test_a_clock(ahead_ms: float, unsure_ms: float, level: str, said: str) -> None:
    found = skew("broker", ahead_ms, unsure_ms)
    assert (level, True) == (found.level.value, said in found.what)


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [(50, 100, "ok"), (8, 100, "warning"), (4, 20, "warning"), (0.5, 5, "error"), (19, 1_000, "error")],
)
def test_a_disk(free: float, total: int, level: str) -> None:
    assert level == room("disk", "d", int(free * GIB), total * GIB, "make room").level.value


@pytest.mark.parametrize(
    ("version", "wanted", "does"),
    [
        ("2.6", ">=2.6,<3", True), ("2.5.9", ">=2.6,<3", False), ("3.0.0", ">=2.6,<3", False),
        ("0.15.3", "==0.15.3", True), ("0.15.4", "==0.15.3", False), ("2.10.0", ">=2.9", True),
        ("1.2.3rc1", ">=1.2.3", True), ("1.4.5", "~=1.4.2", True), ("1.5.0", "~=1.4.2", False), ("2", "!=2.0", False),
    ],
)  # fmt: skip
def test_a_version(version: str, wanted: str, does: bool) -> None:
    assert does is fits(version, wanted)


def test_packages_that_do_not_fit_are_named_and_such_as_are_missing_are_not() -> None:
    asked = ["confluent-kafka>=2.6,<3", "Faust_Streaming==0.15.3 ; extra == 'processors'", "polars>=1; extra == 'x'"]
    (found,) = of_packages(asked, {"confluent-kafka": "2.7", "faust-streaming": "0.16.0"})
    assert (Level.error, "faust-streaming is 0.16.0, and runwatch needs ==0.15.3") == (found.level, found.what)
    (found,) = of_packages(asked, {"confluent-kafka": "2.7"})
    assert Level.ok is found.level


def test_tables_older_and_newer_than_this_version() -> None:
    ours = {1: "0001_events", 2: "0002_windows"}
    assert ["ok"] == [one.level.value for one in of_migrations("db", ours, {1, 2})]
    (older,) = of_migrations("db", ours, {1})
    assert ("error", "lacks 0002_windows") == (older.level.value, older.what)
    (newer,) = of_migrations("db", ours, {1, 2, 3})
    assert "note" == newer.level.value
    assert "up to 0003, and this runwatch knows 0002" in newer.what


def test_a_landing_without_a_column_of_its_messages_is_told() -> None:
    rows = [(table, name) for table, schema in LANDINGS.items() for name in load(schema).field_names]
    assert [] == list(of_columns("db", rows))
    (found,) = of_columns("db", [row for row in rows if row != ("events_in", "labels")])
    assert ("db.events_in", True) == (found.where, "no column for labels" in found.what)
    # Of a table that is not there the migrations tell.
    assert [] == list(of_columns("db", [row for row in rows if row[0] != "events_in"]))


def test_a_topic_that_is_held_is_told_with_the_command_that_resumes_it() -> None:
    held = Hold("sink", "agent.events", "held", 1, "92 % unreadable", "sink")
    holds = [held, Hold("processors", "agent.events", "resumed", 1, "mended", "me")]
    (found,) = of_holds(holds)
    assert ("error", "agent.events") == (found.level.value, found.where)
    assert "sink does not read it on: 92 % unreadable" == found.what
    assert "runwatch deadletter resume" in found.mend
    assert ["ok"] == [one.level.value for one in of_holds(holds[1:])]
