"""The fleet topic's side: frames of parts in, one anomaly an episode out, and nothing said twice after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.processors.fleet.rules import FleetRules
from runwatch.processors.fleet.watch import FleetWatch
from runwatch.processors.frames import Frame
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch
from runwatch.schemas import avro, wire
from runwatch.schemas.registry import LocalRegistry

from .fleet import MINUTE, STRETCH, W0, call, failure, part
from .support import T0, frame, message

SCHEMA = avro.load("fleet_part")
RULES = FleetRules(settle=0)
QUIET = W0 + 2 * MINUTE + RULES.quiet


def parts_frame(
    parts: list[dict[str, Any]], first: int = 0, log_ms: int = W0 + MINUTE + RULES.grace, **given: Any
) -> Frame:
    values = [wire.encode(one, SCHEMA, SCHEMA.schema_id) for one in parts]
    return frame(values, first, topic="agent.fleet", log_ms=log_ms, **given)


def failing_part(partition: int, **given: Any) -> dict[str, Any]:
    runs = list(range(10 * partition, 10 * partition + 6))
    return part(0, partition, tool="t", args_sha="x", calls=6, errors=6, runs=runs, run_agents=["a"] * 6, **given)


def watching() -> FleetWatch:
    return FleetWatch(LocalRegistry(), RULES)


def test_parts_of_two_partitions_open_an_episode_when_both_are_through() -> None:
    watch = watching()
    assert [] == watch.take(parts_frame([failing_part(0), failing_part(1, watermark_ms=W0)]))
    (found,) = watch.take(parts_frame([part(0, 1, watermark_ms=W0 + MINUTE + RULES.grace)], 2))
    assert ("fleet.failing", 12.0, "a") == (found.rule, found.value, found.agent)
    assert [] == watch.take(parts_frame([part(1), part(1, 1)], 3, log_ms=W0 + 2 * MINUTE))


def test_who_falls_silent_is_judged_by_the_clock_once_all_was_read() -> None:
    watch = watching()
    parts = [failing_part(0, watermark_ms=0), failing_part(1, watermark_ms=W0)]
    watch.take(parts_frame(parts, behind=5))
    assert [] == watch.quiet(QUIET)
    watch.take(parts_frame([part(0, 2, watermark_ms=W0)], 2))
    assert ["fleet.failing"] == [one.rule for one in watch.quiet(QUIET)]
    assert [] == watch.quiet(QUIET)


def test_a_replay_says_nothing_and_knows_what_was_said() -> None:
    first, second = [failing_part(0), failing_part(1)], [part(1), part(1, 1)]
    lived = watching()
    assert 1 == len(lived.take(parts_frame(first)))
    again = watching()
    assert [] == again.take(parts_frame(first, replay=True))
    assert [] == again.take(parts_frame(second, 2, log_ms=W0 + 2 * MINUTE))
    # It ends as it would have.
    late = W0 + 20 * MINUTE + RULES.grace
    ends = [watch.take(parts_frame([part(19), part(19, 1)], 4, log_ms=late)) for watch in (lived, again)]
    assert ["resolved"] == [one.state for one in ends[0]]
    assert ends[0] == ends[1]


def test_a_new_assignment_begins_anew_and_what_is_unreadable_is_counted() -> None:
    watch = watching()
    assert 1 == len(watch.take(parts_frame([failing_part(0), failing_part(1)])))
    assert 1 == len(watch.take(parts_frame([failing_part(0), failing_part(1)], epoch=1)))
    watch.take(frame([b"rubbish"], 2, topic="agent.fleet", epoch=1))
    assert 1 == watch.bad
    watch.keep_only([])
    assert [] == watch.quiet(QUIET)


@pytest.mark.parametrize("ticks", [False, True])
def test_from_events_to_an_anomaly_over_two_partitions(ticks: bool) -> None:
    events = EventWatch(LocalRegistry(), Rules())
    sent: list[dict[str, Any]] = []
    for partition in (0, 1):
        runs = [f"run-{partition}-{number}" for number in range(6)]
        records = [failure(run, 1000 * number, agent="a") for number, run in enumerate(runs)]
        sent += events.take(frame([message(one) for one in records], partition=partition, log_ms=T0)).fleet_parts
        if ticks:
            sent += events.fleet_parts(partition, T0 + 80_000)
        next_one = [message(call("late", STRETCH, number)) for number in range(2)]
        sent += events.take(frame(next_one, 6, partition=partition, log_ms=T0 + STRETCH)).fleet_parts
        sent += events.fleet_parts(partition, T0 + STRETCH + 80_000)
    assert [] == events.fleet_parts(7, T0)
    watch = watching()
    found = watch.take(parts_frame(sent, log_ms=T0 + STRETCH)) + watch.quiet(T0 + STRETCH + 2 * RULES.quiet)
    assert [("fleet.failing", "open", "warning", 12.0)] == [
        (one.rule, one.state, one.severity, one.value) for one in found
    ]


def test_a_replayed_frame_sends_no_parts() -> None:
    events = EventWatch(LocalRegistry(), Rules())
    for number, replay in enumerate([True, True]):
        one = frame([message(failure("r", 0, number))], number, log_ms=T0 + number * STRETCH, replay=replay)
        assert [] == events.take(one).fleet_parts
