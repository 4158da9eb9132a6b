"""Parts come together: in any order, the latest version of each, and not before nobody can add to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runwatch.processors.fleet.merge import Failing, FleetMerger, FleetWindow, Hits
from runwatch.processors.fleet.rules import FleetRules

from .fleet import AFTERWARDS, MINUTE, W0, merged, part, window

RULES = FleetRules(settle=0)


def tool(number: int = 0, partition: int = 0, **given: object) -> dict[str, object]:
    return part(number, partition, **({"tool": "t", "calls": 10, "storm": 2, "runs": [1], "run_agents": ["a"]} | given))


def starts(windows: list[FleetWindow]) -> list[int]:
    return [(one.start_ms - W0) // MINUTE for one in windows]


def test_parts_of_partitions_and_stretches_add_up() -> None:
    parts = [tool(), tool(partition=1, runs=[2], run_agents=["b"]), tool(slot_ms=W0 + 5 * MINUTE, runs=[1])]
    (found,) = merged(parts)
    assert {"t": Hits(30, 6, {1: "a", 2: "b"})} == found.retries
    assert {"t": Hits(30, 0, {})} == found.timeouts


def test_a_failing_calls_parts_add_up() -> None:
    one = {"tool": "t", "args_sha": "x", "runs": [1], "run_agents": ["a"]}
    (found,) = merged(
        [
            part(calls=5, errors=3, error="Z", run_ids=["r1"], **one),
            part(partition=1, calls=4, errors=4, error="B", run_ids=["r0"], **(one | {"runs": [0]})),
            part(partition=2, calls=1, **(one | {"runs": [], "run_agents": []})),
        ]
    )
    assert {("t", "x"): Failing(10, 7, {0: "a", 1: "a"}, {0: "r0", 1: "r1"}, "B")} == found.failing


def test_a_later_version_replaces_an_earlier_whichever_comes_first() -> None:
    for parts in ([tool(), tool(version=2, calls=11)], [tool(version=2, calls=11), tool()]):
        assert 11 == merged(parts)[0].retries["t"].calls


@given(st.permutations([tool(n, p, calls=n + p, version=v) for n in range(3) for p in range(2) for v in (1, 2)]))
def test_any_order_is_as_good(parts: list[dict[str, object]]) -> None:
    found = merged(parts)
    assert [[0, 1, 2], [1, 3, 5]] == [starts(found), [one.retries["t"].calls for one in found]]


def test_a_window_waits_for_every_partition_that_speaks() -> None:
    merger = FleetMerger(RULES)
    now = W0 + 2 * MINUTE
    merger.add(tool(0), now)
    merger.add(part(-1, partition=1), now)
    assert [-1] == starts(merger.ready(now))
    merger.add(part(0, partition=1), now)
    assert [0] == starts(merger.ready(now))


def test_who_is_silent_is_not_waited_for() -> None:
    merger = FleetMerger(RULES)
    now = W0 + 2 * MINUTE
    merger.add(part(-1, partition=1), now - RULES.quiet)
    merger.add(part(-1, partition=2, watermark_ms=0), now)
    merger.add(tool(0), now)
    assert [-1] == starts(merger.ready(now))
    assert [0] == starts(merger.ready(now + 1))


def test_what_comes_after_its_window_was_judged_is_late() -> None:
    merger = FleetMerger(RULES)
    merger.add(tool(0), W0)
    assert [0] == starts(merger.until(AFTERWARDS))
    merger.add(tool(0, version=2), W0)
    merger.add(tool(-1), W0)
    assert (2, []) == (merger.late, merger.until(AFTERWARDS))


def test_a_window_ahead_of_the_log_waits_and_too_many_are_thrown_away() -> None:
    merger = FleetMerger(FleetRules(most_windows=3, settle=0))
    now = W0 + 3 * MINUTE
    for number in (0, 5000, 7000, 6000, 1):
        merger.add(tool(number), now)
    assert [0, 1] == starts(merger.ready(now))
    assert 2 == merger.wild
    assert [5000] == starts(merger.until(AFTERWARDS))


def test_of_too_many_the_oldest_is_judged_as_it_is() -> None:
    merger = FleetMerger(FleetRules(most_windows=2, settle=0))
    merger.add(part(-10, partition=1), W0 + 9 * MINUTE)
    for number in range(4):
        merger.add(tool(number), W0 + 9 * MINUTE)
    assert [-10, 0, 1] == starts(merger.ready(W0 + 9 * MINUTE))


def test_up_to_a_time() -> None:
    merger = FleetMerger(RULES)
    for number in range(3):
        merger.add(tool(number), 0)
    assert [0, 1] == starts(merger.until(W0 + 2 * MINUTE))
    assert window(2).start_ms == merger.until(AFTERWARDS)[0].start_ms


def test_a_window_is_not_judged_before_all_have_had_their_turn_to_send() -> None:
    merger = FleetMerger(FleetRules(settle=4000))
    now = W0 + 3 * MINUTE
    merger.add(tool(-1), now - 4000)
    merger.add(tool(0), now)
    assert [-1] == starts(merger.ready(now + 3999))
    assert [0] == starts(merger.ready(now + 4000))


def test_a_new_partition_is_hardly_alone() -> None:
    merger = FleetMerger(FleetRules(settle=4000))
    now = W0 + 3 * MINUTE
    merger.add(tool(0), now)
    # Of a backlog, partitions tell one after the other.
    merger.add(tool(0, partition=1), now + 3999)
    assert [] == merger.ready(now + 4000)
    merger.add(tool(0, partition=2), now + 5000)
    (found,) = merger.ready(now + 9000)
    assert (30, 0) == (found.retries["t"].calls, merger.late)
