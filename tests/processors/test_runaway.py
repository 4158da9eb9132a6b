"""Runs that take far more than their agent's runs do, however the events are cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.loops import LoopRules
from runwatch.processors.partition import FoldRules, PartitionFold
from runwatch.schemas.anomalies import Anomaly

from .support import T0, columns, cut, event, offsets

RULES = LoopRules.model_validate(
    {
        "runaway": {
            "warning": 3.0,
            "critical": 6.0,
            "spread_warning": 5.0,
            "spread_critical": 6.5,
            "least_runs": 5,
            "least_steps": 8,
            "least_tokens": 1_000,
            "least_cost_usd": 0.5,
        }
    }
)


def a_run(
    name: str, requests: int, *, tokens: int = 100, cost: float = 0.01, ends: bool = True
) -> list[dict[str, Any]]:
    steps = [
        event(name, seq, "model_result", input_tokens=tokens // 2, output_tokens=tokens - tokens // 2, cost_usd=cost)
        for seq in range(requests)
    ]
    return [*steps, event(name, requests, "stop")] if ends else steps


def found_in(log: list[dict[str, Any]], cuts: set[int] = frozenset(), rules: LoopRules = RULES) -> list[Anomaly]:  # type: ignore[assignment]  # nobody changes it
    fold = PartitionFold(0, FoldRules(loops=rules))
    found = []
    for start, piece in cut(log, cuts):
        found += fold.add(columns(piece), offsets(start, len(piece)), T0).anomalies
    return [one for one in found if one.rule == "loop.runaway"]


USUAL = [one for number in range(10) for one in a_run(f"usual-{number}", 4)]
"""Ten runs of five steps, 400 tokens and four cents."""


def test_steps() -> None:
    warning, critical = found_in(USUAL + a_run("long", 40, tokens=1, cost=0.0001))
    assert ("warning", "open", 15.0, 5.0, 14) == (
        warning.severity, warning.state, warning.value, warning.baseline, warning.seqs[0]
    )  # fmt: skip
    assert ("critical", "escalated", 30.0, warning.anomaly_id) == (
        critical.severity, critical.state, critical.value, critical.anomaly_id
    )  # fmt: skip
    assert "A run of a has taken 30 steps so far, 6.0 times the most that its runs lately took (5)." == critical.message


def test_tokens_in_a_run_of_few_steps() -> None:
    warning, critical = found_in(USUAL + a_run("dear", 6, tokens=600, cost=0.0))
    assert (1_200.0, 400.0) == (warning.value, warning.baseline)
    assert ("critical", 2_400.0) == (critical.severity, critical.value)


def test_money() -> None:
    (critical,) = found_in(USUAL + a_run("dear", 1, cost=2.0))
    assert ("critical", "open", 2.0, 0.04) == (
        critical.severity,
        critical.state,
        critical.value,
        round(critical.baseline or 0, 6),
    )
    assert "has taken $2.00 so far" in critical.message


def test_what_is_far_beyond_the_usual_and_yet_little_is_left_alone() -> None:
    assert [] == found_in(USUAL + a_run("long", 40, tokens=1, cost=0.0001), rules=LoopRules())


def test_nothing_is_usual_before_there_are_enough_runs() -> None:
    few = [one for number in range(4) for one in a_run(f"usual-{number}", 4)]
    assert [] == found_in(few + a_run("long", 400))


def test_another_agent_has_other_habits() -> None:
    assert [] == found_in(USUAL + [one | {"agent": "b"} for one in a_run("long", 40)])


def test_runs_of_all_lengths_have_no_runaway_until_it_is_far_out() -> None:
    lengths = [2, 3, 4, 6, 9, 14, 20, 30, 45, 70] * 3
    varied = [one for number, length in enumerate(lengths) for one in a_run(f"r{number}", length, tokens=1, cost=0.0)]
    assert [] == found_in(varied + a_run("long", 400, tokens=1, cost=0.0))
    assert ["warning"] == [one.severity for one in found_in(varied + a_run("longer", 5_000, tokens=1, cost=0.0))]


def test_a_runaway_teaches_nothing() -> None:
    runaways = [one for number in range(60) for one in a_run(f"long-{number}", 40)]
    assert 60 == sum(one.severity == "critical" for one in found_in(USUAL + runaways))


def test_a_slow_change_of_habit_is_learned() -> None:
    longer = [one for number in range(200) for one in a_run(f"longer-{number}", 10)]
    assert [] == found_in(USUAL + longer + a_run("long", 30, tokens=1, cost=0.0001))


def test_a_run_that_begins_anew_has_taken_nothing() -> None:
    once = a_run("usual-0", 12, tokens=1, cost=0.0001)
    again = once + [one | {"seq": one["seq"] + 13} for one in once]
    assert [] == found_in(USUAL + [one | {"run_id": "r"} for one in again])


def test_numbers_that_are_none_count_nothing() -> None:
    odd = a_run("odd", 1, cost=float("inf")) + a_run("odder", 1, cost=float("nan"))
    assert [] == found_in(USUAL + odd)


def test_switched_off() -> None:
    off = RULES.model_copy(update={"runaway": RULES.runaway.model_copy(update={"enabled": False})})
    assert [] == found_in(USUAL + a_run("long", 400), rules=off)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=8, max_size=40),
    st.sets(st.integers(0, 200), max_size=12),
    st.randoms(),
)
def test_any_split_finds_the_same(lengths: list[tuple[int, bool]], cuts: set[int], random: Any) -> None:
    runs = [
        a_run(f"r{number}", length * (8 if number % 7 == 6 else 1), ends=ends)
        for number, (length, ends) in enumerate(lengths)
    ]
    order = [number for number, one in enumerate(runs) for _ in one]
    random.shuffle(order)
    queues = [iter(one) for one in runs]
    log = [next(queues[number]) for number in order]
    assert found_in(log, set(range(len(log)))) == found_in(log, cuts)


@pytest.mark.parametrize("most", [3])
def test_agents_are_bounded(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwatch.processors.loops.runaway.MOST_AGENTS", most)
    log = [one | {"agent": f"agent-{number}"} for number in range(most) for one in a_run(f"r{number}", 2)]
    assert [] == found_in(USUAL + log + a_run("long", 40))
