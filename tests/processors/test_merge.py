"""Parts of all partitions come together: any order, any repetition, each window once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.merge import TOOL_COLUMNS, Merger, MergeRules, ToolWindow, Window
from runwatch.processors.windows import METRICS, SUMS

from .support import T0

MINUTE = 60_000


def part(minute: int = 0, partition: int = 0, version: int = 1, count: int = 1, **given: Any) -> dict[str, Any]:
    """A window part that counts `count` of everything, of a partition whose watermark is at the window's start."""
    start = T0 + minute * MINUTE
    record: dict[str, Any] = dict.fromkeys(SUMS, count)
    record |= {f"{name}_keys": [5, 7] for name in METRICS} | {f"{name}_counts": [count, 1] for name in METRICS}
    record |= {"window_start_ms": start, "window_ms": MINUTE, "agent": "a", "agent_version": None, "model": None}
    record |= {"tool": None, "source_partition": partition, "slot_ms": T0, "version": version, "watermark_ms": start}
    return record | {"stop_reasons": ["success"], "stop_reason_counts": [count]} | given


def merger(*parts: dict[str, Any], log_ms: int = T0, **rules: Any) -> Merger:
    one = Merger(MergeRules(**{"settle": 0, **rules}))
    for each in parts:
        one.add(each, log_ms)
    return one


def starts(found: list[tuple[str, Window | ToolWindow]]) -> list[int]:
    return [(window.start_ms - T0) // MINUTE for _, window in found]


def test_parts_add_up() -> None:
    one = merger(part(count=2), part(partition=1, count=3), part(partition=2, count=4, stop_reasons=["killed"]))
    ((agent, window),) = one.ready(T0 + 10**6)
    assert ("a", T0, T0 + MINUTE) == (agent, window.start_ms, window.end_ms)
    assert dict.fromkeys(SUMS, 9) == window.sums
    assert {name: {5: 9, 7: 3} for name in METRICS} == window.sketches
    assert {"success": 5, "killed": 4} == window.stop_reasons


def test_versions_models_and_stretches_are_parts_of_their_own() -> None:
    one = merger(part(), part(agent_version="2"), part(model="m"), part(slot_ms=T0 + 300_000))
    ((_, window),) = one.ready(T0 + 10**6)
    assert 4 == window.sums["events"]


def test_the_highest_version_stands_whatever_comes_last() -> None:
    one = merger(part(version=2, count=20), part(version=3, count=30), part(version=1, count=10))
    ((_, window),) = one.ready(T0 + 10**6)
    assert 30 == window.sums["events"]


@settings(max_examples=35)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=20, unique=True),
    st.randoms(),
)
def test_any_order_and_repetition_gives_the_same_windows(plan: list[tuple[int, int, int]], random: Any) -> None:
    # A version's content is its own: 10 times the version.
    parts = [part(minute, source, version, count=10 * version) for minute, source, version in plan]
    expected = merger(*parts).ready(T0 + 10**6)
    shuffled = parts + random.choices(parts, k=5)
    random.shuffle(shuffled)
    assert expected == merger(*shuffled).ready(T0 + 10**6)
    latest = {(minute, source): version for minute, source, version in sorted(plan)}
    totals: dict[int, int] = {}
    for (minute, _), version in latest.items():
        totals[minute] = totals.get(minute, 0) + 10 * version
    assert sorted(totals.items()) == [
        (minute, window.sums["events"]) for minute, (_, window) in zip(starts(expected), expected, strict=True)
    ]


def test_a_window_waits_for_each_partition_that_still_speaks() -> None:
    one = merger(part(), part(partition=1))
    one.add(part(2, watermark_ms=T0 + 70_000), T0 + 1000)
    assert [] == one.ready(T0 + 1000)
    one.add(part(1, 1, watermark_ms=T0 + 69_999), T0 + 2000)
    assert [] == one.ready(T0 + 2000)
    one.add(part(1, 1, 2, watermark_ms=T0 + 70_000), T0 + 3000)
    assert [0] == starts(one.ready(T0 + 3000))
    assert [] == one.ready(T0 + 3000)


def test_a_quiet_partition_is_not_waited_for() -> None:
    one = merger(part(partition=1))
    one.add(part(2, watermark_ms=T0 + 200_000), T0 + 4000)
    assert [] == one.ready(T0 + 5000)
    assert [0, 2] == starts(one.ready(T0 + 5001))


def test_agents_are_waited_for_apart() -> None:
    one = merger(part(agent="slow"), part(agent="fast"), part(1, agent="fast", watermark_ms=T0 + 70_000))
    assert [("fast", T0)] == [(agent, window.start_ms) for agent, window in one.ready(T0)]


def test_windows_are_handed_out_in_order_and_what_is_late_is_counted() -> None:
    one = merger(part(3), part(1), part(2))
    assert [1, 2, 3] == starts(one.ready(T0 + 10**6))
    one.add(part(2, version=9), T0 + 10**6)
    one.add(part(0), T0 + 10**6)
    assert 2 == one.late
    assert [] == one.ready(T0 + 10**7)
    one.add(part(4), T0 + 10**6)
    assert [4] == starts(one.ready(T0 + 10**7))


def test_an_agent_has_so_many_windows_waiting_and_no_more() -> None:
    one = merger(*(part(minute, watermark_ms=T0) for minute in range(10)), most_windows=4)
    assert [0, 1, 2, 3, 4, 5] == starts(one.ready(T0))


def test_a_wrong_clock_makes_nothing_late() -> None:
    day = 1440
    one = merger(part(), part(10_000 * day, partition=1, watermark_ms=0))
    assert [0] == starts(one.ready(T0 + 10**6))
    one.add(part(1), T0 + 10**6)
    assert [1] == starts(one.ready(T0 + 2 * 10**6))
    assert 0 == one.late


def test_a_partition_whose_events_tell_no_time_is_not_waited_for() -> None:
    one = merger(part(), part(2, watermark_ms=T0 + 70_000), part(partition=1, watermark_ms=0))
    assert [0] == starts(one.ready(T0))


def test_who_is_new_or_was_silent_is_listened_to_before_it_is_judged() -> None:
    # Partitions that have a backlog tell of it one after the other.
    def told(minute: int, partition: int = 0) -> dict[str, Any]:
        return part(minute, partition, watermark_ms=T0 + 60 * MINUTE)

    one = merger(told(0), told(1), log_ms=T0, settle=4000)
    assert [] == one.ready(T0 + 3999)
    one.add(told(0, 1), T0 + 3999)
    one.add(told(1, 1), T0 + 3999)
    found = one.ready(T0 + 4000)
    assert [0, 1] == starts(found)
    assert [2, 2] == [window.sums["events"] for _, window in found]
    # Speaking again and again, it is judged at once; after a silence it is listened to anew.
    one.add(told(2), T0 + 8000)
    assert [2] == starts(one.ready(T0 + 8000))
    one.add(told(3), T0 + 20_000)
    assert [] == one.ready(T0 + 20_000)
    assert [3] == starts(one.ready(T0 + 24_000))
    assert 0 == one.late


# -- versions and tools --------------------------------------------------------------------------


def tool_part(minute: int = 0, tool: str = "t", calls: int = 1, **given: Any) -> dict[str, Any]:
    """A tool's part, as much as is read of it."""
    whole = part(minute, tool=tool, **given) | {"tool_calls": calls}
    return {name: whole[name] for name in TOOL_COLUMNS}


def tool_windows(found: list[tuple[str, Window | ToolWindow]]) -> list[ToolWindow]:
    return [window for _, window in found if isinstance(window, ToolWindow)]


def test_a_windows_versions_add_up_to_it() -> None:
    one = merger(part(agent_version="1", count=2), part(agent_version="1", model="m", count=3), part(agent_version="2"))
    ((_, window),) = one.ready(T0 + 10**6)
    assert isinstance(window, Window)
    assert {"1": 5, "2": 1} == {version: own.sums["events"] for version, own in window.versions.items()}
    assert {5: 5, 7: 2} == window.versions["1"].sketches["run_ms"]
    assert 6 == window.sums["events"]
    (alone,) = merger(part(agent_version="1"), part(agent_version="1", partition=1)).ready(T0 + 10**6)
    assert {} == alone[1].versions  # type: ignore[union-attr]


def test_tools_come_after_their_window_once_nothing_more_was_heard_of_them() -> None:
    one = merger(part(), part(2, watermark_ms=T0 + 100_000), quiet=100_000)
    assert [0] == starts(one.ready(T0 + 1))
    one.add(tool_part(calls=3), T0 + 10_000)
    one.add(tool_part(calls=4, partition=1), T0 + 12_000)
    assert [] == one.ready(T0 + 26_999)
    ((agent, window),) = one.ready(T0 + 27_000)
    assert isinstance(window, ToolWindow)
    assert ("a", T0, T0 + MINUTE) == (agent, window.start_ms, window.end_ms)
    assert {"t": 7} == {tool: own.sums["tool_calls"] for tool, own in window.tools.items()}
    one.add(tool_part(calls=9), T0 + 30_000)
    assert ([], 1) == (one.ready(T0 + 60_000), one.late)


def test_tools_wait_for_their_window() -> None:
    one = merger(tool_part(1, calls=3), quiet=100_000)
    assert [] == one.ready(T0 + 50_000)
    one.add(part(1, watermark_ms=T0 + 130_000), T0 + 50_000)
    assert [Window, ToolWindow] == [type(window) for _, window in one.ready(T0 + 50_000)]


def test_the_most_called_tools_stay() -> None:
    one = merger(part(), *(tool_part(tool=f"t{number}", calls=number) for number in range(10)), most_tools=3)
    (window,) = tool_windows(one.ready(T0 + 10**6))
    assert {"t9", "t8", "t7"} == set(window.tools)


def test_parts_and_agents_are_bounded() -> None:
    one = merger(part(), *(part(agent_version=str(number)) for number in range(50)), most_parts=10)
    ((_, window),) = one.ready(T0 + 10**6)
    assert (10, 41) == (window.sums["events"], one.left_out)  # type: ignore[union-attr]
    many = merger(*(part(agent=f"a{number}") for number in range(50)), most_agents=7)
    assert 7 == len(many)
    assert [f"a{number}" for number in range(43, 50)] == [agent for agent, _ in many.ready(T0 + 10**6)]


def test_agents_of_which_nothing_came_are_not_looked_at() -> None:
    one = merger(part(agent="waits"), log_ms=T0, quiet=100_000)
    assert [] == one.ready(T0)
    looked = []
    one._whole = lambda agent, log_ms: looked.append(log_ms) or ()  # type: ignore[method-assign,assignment,func-returns-value]
    for later in range(1, 100):
        one.ready(T0 + later * 1_000)
    assert [] == looked
    one.ready(T0 + 100_001)
    assert [T0 + 100_001] == looked


moves = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 2), st.sampled_from([None, "t", "u"]), st.integers(1, 60)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=50)
@given(moves, st.sets(st.integers(0, 25)))
def test_however_often_it_is_asked_it_hands_out_the_same(
    plan: list[tuple[int, int, str | None, int]], asked: set[int]
) -> None:
    """Each window once and in order, and the same as one that looks at all agents each time would."""
    ours, other = Merger(MergeRules()), Merger(MergeRules())
    log_ms = T0
    found: list[tuple[str, Window | ToolWindow]] = []
    expected: list[tuple[str, Window | ToolWindow]] = []
    for version, (minute, source, tool, later) in enumerate(plan):
        log_ms += later * 1_000
        mark = T0 + minute * MINUTE
        make = part if tool is None else tool_part
        given = {} if tool is None else {"tool": tool}
        one = make(minute, partition=source, version=version, agent=f"a{minute % 2}", watermark_ms=mark, **given)
        ours.add(one, log_ms)
        other.add(one, log_ms)
        found += ours.ready(log_ms) if version in asked else []
        if version in asked:
            # All agents are looked at anew.
            other._fresh.update(dict.fromkeys(other._agents))
            expected += other.ready(log_ms)
    for after in (1_000, 20_000, 10**6):
        found += ours.ready(log_ms + after)
        other._fresh.update(dict.fromkeys(other._agents))
        expected += other.ready(log_ms + after)
    key = lambda one: (one[0], isinstance(one[1], ToolWindow), one[1].start_ms)  # noqa: E731
    assert sorted(expected, key=key) == sorted(found, key=key)
    for agent in ("a0", "a1"):
        for kind in (Window, ToolWindow):
            own = [window.start_ms for name, window in found if name == agent and isinstance(window, kind)]
            assert sorted(set(own)) == own
