"""Any series: what is unusual gets a high score, by what came before it alone; what is usual does not."""

from __future__ import annotations

import math
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.drift.rules import DriftRules
from runwatch.processors.series import SeriesJudge

START_MS = 1_772_409_600_000
STEP_MS = 300_000
DAY = 288


def scores(values: list[float], step_ms: int = STEP_MS, rules: DriftRules | None = None) -> list[float]:
    judge = SeriesJudge(rules or DriftRules())
    return [judge.add(START_MS + at * step_ms, value).score for at, value in enumerate(values)]


def flagged(values: list[float]) -> list[int]:
    judge = SeriesJudge(DriftRules())
    return [at for at, value in enumerate(values) if judge.add(START_MS + at * STEP_MS, value).is_anomaly]


def noise(count: int, seed: int = 1, level: float = 100.0, spread: float = 5.0) -> list[float]:
    random = Random(seed)
    return [random.gauss(level, spread) for _ in range(count)]


def daily(days: int, seed: int = 1) -> list[float]:
    swing = [40 * math.sin(2 * math.pi * at / DAY) for at in range(days * DAY)]
    return [one + more for one, more in zip(noise(days * DAY, seed), swing, strict=True)]


def test_a_spike_is_told_when_it_comes() -> None:
    values = noise(2_000)
    values[1_500] += 100
    found = flagged(values)
    assert 1_500 in found
    assert len(found) <= 4


def test_a_step_is_told_once_and_soon() -> None:
    values = noise(1_500) + noise(500, seed=2, level=140)
    found = [at for at in flagged(values) if at >= 1_500]
    assert found
    assert found[0] < 1_510
    assert len(found) <= 5


def test_a_day_like_every_other_is_usual() -> None:
    values = daily(14)
    assert len(flagged(values)) <= 6
    values[12 * DAY + 20 : 12 * DAY + 30] = [220.0] * 10
    assert set(range(12 * DAY + 20, 12 * DAY + 30)) & set(flagged(values))


def test_a_short_history_has_its_spike() -> None:
    values = noise(60)
    values[45] += 300
    assert [45] == flagged(values)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-12, 1e15])
def test_what_never_changes_is_usual(value: float) -> None:
    assert {0.0} == set(scores([value] * 300))


def test_the_scale_makes_no_difference() -> None:
    values = daily(5)
    assert [round(one, 6) for one in scores(values)] == [round(one, 6) for one in scores([v * 1e6 for v in values])]


@settings(max_examples=30)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=30, max_size=200),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5),
    st.integers(1, 10**9),
)
def test_a_score_is_of_what_came_before_alone(values: list[float], later: list[float], step_ms: int) -> None:
    found = scores(values, step_ms)
    assert found == scores(values + later, step_ms)[: len(values)]
    assert all(0 <= one <= 1 for one in found)


def test_irregular_times_and_gaps() -> None:
    random, at_ms = Random(3), START_MS
    judge = SeriesJudge(DriftRules())
    found = []
    for number, value in enumerate(noise(3_000)):
        at_ms += random.choice((1, 60_000, 7_000_000)) if number != 1_000 else 30 * 86_400_000
        found.append(judge.add(at_ms, value).is_anomaly)
    assert sum(found) <= 8


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        SeriesJudge(DriftRules()).add(START_MS, value)


def test_ten_thousand_points_take_seconds() -> None:
    began = time.process_time()
    scores(daily(35))
    assert time.process_time() - began < 10
