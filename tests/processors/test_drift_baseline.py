"""What is usual: hours of the days before, measurements just before; and what is done about slow climbs."""

from __future__ import annotations

import math
import random

import pytest

from runwatch.processors.drift import DriftJudge, DriftRules
from runwatch.processors.drift.baseline import Baseline
from runwatch.processors.drift.creep import ALLOWANCE, CLIP, LIMIT, Cusum
from runwatch.processors.drift.hours import LEAST_SWAY, Hours, is_weekend
from runwatch.processors.drift.scores import Levels, Shares, level_score, mad, middle, trimmed
from runwatch.schemas.anomalies import Anomaly

from .drift_windows import DAY, HOUR, MINUTE, MONDAY, noisy, told, window

HOUR_0 = MONDAY // HOUR


def filled(days: int, level: float = 0.0, rules: DriftRules | None = None) -> Baseline:
    """A baseline of so many days of one level, twelve measurements an hour."""
    baseline = Baseline(rules or DriftRules(), Levels())
    for at in range(days * 24 * 12):
        baseline.add(MONDAY + at * 5 * MINUTE, level)
    return baseline


# -- sums --------------------------------------------------------------------------------------------


def test_middle_and_mad_and_trimmed() -> None:
    assert (2.0, 2.5) == (middle([1, 2, 30]), middle([1, 2, 3, 40]))
    assert 1.0 == mad([1, 2, 3, 4, 100])
    assert 3.0 == trimmed([-50, 2, 3, 4, 900])


def test_noise_is_that_of_a_normal_distribution_whatever_a_few_values_do() -> None:
    chance = random.Random(1)
    values = [chance.gauss(3.0, 0.2) for _ in range(2_000)]
    assert pytest.approx(0.2, rel=0.15) == Levels().noise(sorted([*values, *[50.0] * 20]))


def test_a_share_that_was_never_seen_has_the_noise_of_chance() -> None:
    # None of twenty failed, sixty times over: one of twenty is no wonder.
    levels = Shares(0.05, 20)
    never = [math.log(0.05)] * 60
    assert pytest.approx(math.log(0.05)) == levels.centre(never)
    assert pytest.approx(math.sqrt(0.025 * 0.975 / 20) / 0.05) == levels.noise(never)
    assert (math.log(0.10) - math.log(0.05)) / levels.noise(never) < 1.5


def test_a_score_grows_with_measurements_up_to_what_hours_do() -> None:
    few, more, many = (level_score(0.7, 0.3, 0.07, count, 60) for count in (1, 10, 10_000))
    assert few < more < many < 0.7 / 0.07


# -- hours -------------------------------------------------------------------------------------------


def test_weekends() -> None:
    assert [False] * 5 + [True] * 2 == [is_weekend(HOUR_0 + 24 * day + 5) for day in range(7)]
    assert not is_weekend(HOUR_0 + 24 * 7)


def test_what_is_usual_is_told_by_days_of_the_same_kind() -> None:
    hours = Hours(14)
    for day in range(12):
        hours.put(HOUR_0 + 24 * day + 3, 1.0 if day % 7 >= 5 else 0.0, 10)
    assert 0.0 == hours.usual(HOUR_0 + 24 * 14 + 3, 3)
    # Of one weekend two days are known: the others count too.
    assert 0.0 == hours.usual(HOUR_0 + 24 * 12 + 3, 3)
    hours.put(HOUR_0 + 24 * 12 + 3, 1.0, 10)
    assert 1.0 == hours.usual(HOUR_0 + 24 * 13 + 3, 3)
    assert None is hours.usual(HOUR_0 + 24 * 14 + 4, 3)


def test_an_hour_of_long_ago_is_forgotten_and_a_late_one_takes_no_newer_ones_place() -> None:
    hours = Hours(2)
    hours.put(HOUR_0, 1.0, 1)
    hours.put(HOUR_0 + 48, 2.0, 1)
    hours.put(HOUR_0, 3.0, 1)
    assert (None, 2.0) == (hours.get(HOUR_0), hours.get(HOUR_0 + 48))


def test_sway_is_what_hours_differ_by_beyond_chance() -> None:
    chance = random.Random(2)
    hours = Hours(14)
    for hour in range(14 * 24):
        hours.put(HOUR_0 + hour, chance.gauss(hour % 24 / 10, 0.15), 1_000)
    assert pytest.approx(0.15, rel=0.15) == hours.sway(0.07, 0.1)
    # What single measurements do explains all of it.
    assert LEAST_SWAY == Hours(14).sway(LEAST_SWAY, 0.1)
    few = Hours(14)
    for hour in range(14 * 24):
        few.put(HOUR_0 + hour, chance.gauss(0, 0.15), 4)
    assert few.sway(0.07, 0.3) < 0.08


# -- baselines ---------------------------------------------------------------------------------------


def test_the_trailing_baseline_needs_measurements_and_the_seasonal_one_days() -> None:
    baseline = Baseline(DriftRules(), Levels())
    for at in range(14):
        baseline.add(MONDAY + at * MINUTE, 1.0)
    assert None is baseline.reference(MONDAY + 14 * MINUTE)
    baseline.add(MONDAY + 14 * MINUTE, 1.0)
    young = baseline.reference(MONDAY + 15 * MINUTE)
    assert young is not None and (1.0, False, 15) == (young.level, young.seasonal, young.count)
    old = filled(3).reference(MONDAY + 3 * DAY)
    assert old is not None and old.seasonal


def test_half_a_day_does_not_tell_what_the_other_half_is_like() -> None:
    baseline = Baseline(DriftRules(), Levels())
    for at in range(16):
        baseline.add(MONDAY + at * 40 * MINUTE, 1.0)
    assert None is baseline.reference(MONDAY + 16 * 40 * MINUTE)
    assert None is not baseline.reference(MONDAY + 26 * HOUR)


def test_day_and_night_are_each_their_own() -> None:
    baseline = Baseline(DriftRules(), Levels())
    for at in range(4 * 24 * 12):
        baseline.add(MONDAY + at * 5 * MINUTE, 1.0 if at // 12 % 24 < 6 else 0.0)
    levels = [baseline.seasonal(MONDAY + 4 * DAY + hour * HOUR) for hour in (2, 5, 6, 20)]
    assert [1.0, 1.0, 0.0, 0.0] == levels


def test_hours_that_lie_in_episodes_day_after_day_are_like_that() -> None:
    baseline = filled(1)
    for day in range(1, 4):
        other = Baseline(DriftRules(), Levels())
        for at in range(12):
            other.add(MONDAY + day * DAY + 3 * HOUR + at * 5 * MINUTE, 1.0)
        baseline.suspect(other)
    # One day without, three within.
    assert 1.0 == baseline.seasonal(MONDAY + 4 * DAY + 3 * HOUR)
    known = filled(3)
    known.suspect(other)
    assert 0.0 == known.seasonal(MONDAY + 4 * DAY + 3 * HOUR)


def test_stored_hours_fill_what_is_not_known_and_nothing_else() -> None:
    baseline = filled(1)
    for day in range(-3, 1):
        baseline.recall(HOUR_0 + 24 * day + 3, 2.0, 10, suspect=False)
    baseline.recall(HOUR_0 + 23, 5.0, 10, suspect=False)
    assert 2.0 == baseline.seasonal(MONDAY + DAY + 3 * HOUR)
    assert baseline.hours is not None and (0.0, None) == (
        baseline.hours.get(HOUR_0 + 3),
        baseline.hours.get(HOUR_0 + 23),
    )


# -- slow climbs -------------------------------------------------------------------------------------


def test_the_sum_of_small_deviations() -> None:
    cusum = Cusum()
    needed = math.ceil(LIMIT / (CLIP - ALLOWANCE))
    assert [False] * (needed - 1) + [True] == [cusum.step(100.0, 10 + at) for at in range(needed)]
    assert 10 == cusum.since_ms
    cusum.clear()
    assert not any(cusum.step(ALLOWANCE, at) for at in range(1_000))
    assert 999 == cusum.since_ms


def climb(per_hour: float, days: int = 12, since_day: int = 7) -> list[Anomaly]:
    """Ten runs every five minutes for a week; then their calls climb by so much an hour."""
    windows = []
    for at in range(days * 24 * 12):
        hours = max(0.0, at / 12 - since_day * 24)
        windows.append(window(5 * at, 40.0 * (1 + per_hour) ** hours * (1.1 if at % 2 else 0.9)))
    return told(windows, DriftJudge(DriftRules()))


def test_one_per_cent_an_hour_is_seen_within_two_days_and_held_against_what_it_was_before() -> None:
    found = [one for one in climb(0.01) if one.rule == "drift.tool_calls_per_run"]
    assert "open" == found[0].state
    assert MONDAY + 8 * DAY < found[0].ts_ms < MONDAY + 9 * DAY
    assert MONDAY + 7 * DAY <= found[0].onset_ms < MONDAY + 8 * DAY
    assert pytest.approx(40.0, rel=0.12) == found[0].baseline
    assert "climbs slowly" in found[0].message
    # It goes on climbing: that is not a new normal.
    assert [] == [one for one in found if one.state == "resolved"]
    assert "escalated" in {one.state for one in found}


def test_what_does_not_climb_is_not_said_to() -> None:
    assert [] == climb(0.0)
    # A tenth of that: 13 % in five days.
    assert [] == climb(0.001)


# -- ordinary life -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_two_days_of_ordinary_life_are_silent(seed: int) -> None:
    chance = random.Random(seed)
    assert [] == told(noisy(at, chance) for at in range(2 * 1_440))


@pytest.mark.parametrize("seed", range(2))
def test_day_and_night_are_silent_though_work_and_traffic_differ(seed: int) -> None:
    chance = random.Random(seed)

    def at(minute: int) -> float:
        return 0.5 - 0.5 * math.cos(2 * math.pi * minute / 1_440)

    assert [] == told(noisy(m, chance, 0.5 + 3.5 * at(m), 1.4 - 0.4 * at(m)) for m in range(3 * 1_440))


def test_ten_times_the_traffic_is_silent() -> None:
    chance = random.Random(3)
    assert [] == told(noisy(m, chance, 30.0 if 700 <= m < 820 else 3.0) for m in range(1_000))


@pytest.mark.parametrize("seed", range(4))
def test_an_incident_in_ordinary_life_is_seen_within_twelve_minutes(seed: int) -> None:
    chance = random.Random(seed)
    found = told(noisy(m, chance, 8.0, 1.0 if m < 400 else 3.0) for m in range(430))
    assert MONDAY + 400 * MINUTE < found[0].ts_ms <= MONDAY + 412 * MINUTE
    assert {"drift.tool_calls_per_run"} <= {one.rule for one in found}
