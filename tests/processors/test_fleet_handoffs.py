"""`fleet.handoff`: agents that take turns are a loop; deep and wide orchestration is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.processors.fleet.handoffs import HandoffJudge, looping
from runwatch.processors.fleet.merge import Child, FleetWindow
from runwatch.processors.fleet.rules import HandoffRules
from runwatch.schemas.anomalies import Anomaly

from .fleet import MINUTE, W0, chain, window

RULES = HandoffRules()


def judged(*windows: FleetWindow, **given: Any) -> list[Anomaly]:
    judge = HandoffJudge(HandoffRules(**given))
    return [anomaly for one in windows for anomaly in judge.judge(one)]


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        ("ABABA", None),
        ("ABABAB", ("warning", 2, 6)),
        ("XYZABABAB", ("warning", 2, 6)),
        ("ABABABABA", ("warning", 2, 9)),
        ("ABABABABAB", ("critical", 2, 10)),
        ("AAAAA", None),
        ("AAAAAA", ("warning", 1, 6)),
        ("AAAAAAAAAA", ("critical", 1, 10)),
        ("ABCABC", None),
        ("ABCABCABC", ("warning", 3, 9)),
        ("ABCABCABCABCABC", ("critical", 3, 15)),
        ("ABCDABCDABCD", ("warning", 4, 12)),
        # They came back from it.
        ("ABABABC", None),
        # Deep, but nobody takes turns.
        ("ABCDEFGHIJKLMNOP", None),
    ],
)
def test_chains(agents: str, expected: tuple[str, int, int] | None) -> None:
    found = judged(window(0, children=chain(*agents)))
    # The chain is judged at each of its runs: one that has gone on differently was a loop all the same.
    if agents == "ABABABC":
        assert ["warning"] == [one.severity for one in found]
    else:
        assert ([] if expected is None else [expected]) == [(one.severity, one.period, one.value) for one in found]


def test_what_a_person_is_told() -> None:
    (one,) = judged(window(0, children=chain(*"BABABA", every_ms=8000)))
    assert (
        "A and B hand their work round in a loop, 3 rounds so far: 6 runs in 40 s, each started by the one before "
        "(from run c0 to run c5)."
    ) == one.message
    assert ("fleet.handoff", "*", "c5") == (one.rule, one.agent, one.run_id)
    assert (W0, W0 + MINUTE) == (one.onset_ms, one.ts_ms)
    (one,) = judged(window(0, children=chain(*"AAAAAA", every_ms=60_000)))
    assert one.message.startswith("A starts itself again and again: 6 runs in 5 minutes, each started")
    assert ("A", 1) == (one.agent, one.period)


def test_it_goes_on_over_windows_escalates_once_and_is_resolved_once() -> None:
    links = chain(*"AB" * 10, every_ms=MINUTE)
    windows = [window(number, children=(links[number],)) for number in range(20)]
    found = judged(*windows, *(window(number) for number in range(20, 60)))
    assert [("open", "warning", 6), ("escalated", "critical", 10), ("resolved", "critical", 35)] == [
        (one.state, one.severity, (one.ts_ms - W0) // MINUTE) for one in found
    ]
    assert 1 == len({one.anomaly_id for one in found})
    assert "A and B: the hand-off loop that began 08:55 UTC is over." == found[-1].message


def test_many_chains_of_the_same_agents_are_one_episode_and_of_others_another() -> None:
    same = [child for number in range(5) for child in chain(*"ABABAB", name=f"s{number}-")]
    turned = chain(*"BABABA", name="t")
    other = chain(*"CDCDCD", name="o")
    assert 2 == len(judged(window(0, children=(*same, *turned, *other))))


def test_a_parent_with_many_children_is_no_loop() -> None:
    children = tuple(Child(f"c{number}", "p", "A", W0 + number) for number in range(500))
    deeper = tuple(Child(f"d{number}", "c0", "B", W0 + 600 + number) for number in range(500))
    assert [] == judged(window(0, children=(*children, *deeper)))


def test_a_run_that_starts_the_next_once_a_day_is_no_loop() -> None:
    links = chain(*"AAAAAAAAAA", every_ms=10 * MINUTE)
    assert [] == judged(*(window(10 * number, children=(one,)) for number, one in enumerate(links)))


def test_who_is_their_own_ancestor_ends_too() -> None:
    ring = (Child("a", "b", "A", W0), Child("b", "a", "B", W0), Child("c", "c", "C", W0))
    assert [] == judged(window(0, children=ring))


@given(st.text("AB", min_size=0, max_size=14), st.permutations(range(14)))
def test_the_order_in_a_window_changes_nothing(agents: str, order: list[int]) -> None:
    links = chain(*agents)
    shuffled = tuple(links[at] for at in order if at < len(links))
    assert judged(window(0, children=links)) == judged(window(0, children=shuffled))


@given(st.lists(st.sampled_from("ABC"), max_size=30))
def test_a_loop_is_what_repeats(agents: list[str]) -> None:
    runs = [Child(str(at), str(at + 1), agent, W0) for at, agent in enumerate(agents)]
    found = looping(runs, RULES)
    repeating = [
        period
        for period in range(1, RULES.longest_period + 1)
        for length in [max(RULES.least_runs, RULES.rounds * period)]
        if length <= len(agents) and all(agents[at] == agents[at + period] for at in range(length - period))
    ]
    assert (repeating[0] if repeating else None) == (found.period if found else None)


def test_runs_are_forgotten() -> None:
    judge = HandoffJudge(HandoffRules(most_runs=1000))
    for number in range(5):
        children = tuple(Child(f"{number}-{at}", "p", "A", W0 + number * MINUTE + at) for at in range(900))
        judge.judge(window(number, children=children))
        assert judge.tracked <= 1000
    judge.judge(window(200))
    assert 0 == judge.tracked
