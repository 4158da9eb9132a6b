"""Episodes: when they open, when they do not, and how they end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from runwatch.processors.drift import METRICS, DriftJudge, DriftRules
from runwatch.processors.merge import Window
from runwatch.processors.sketch import key_of
from runwatch.processors.windows import METRICS as SKETCHED
from runwatch.processors.windows import SUMS
from runwatch.schemas.anomalies import Anomaly

from .support import T0

MINUTE = 60_000
RUNS = 10


def window(minute: int, calls_a_run: float = 4.0, runs: int = RUNS, **sums: float) -> Window:
    """A window of `runs` runs that made so many tool calls each; the other metrics have no weight in it."""
    sketches: dict[str, dict[int, int]] = {name: {} for name in SKETCHED}
    key = key_of(calls_a_run)
    assert key is not None
    sketches["run_tool_calls"] = {key: runs}
    total = dict.fromkeys(SUMS, 0.0) | {"run_tool_calls_sum": calls_a_run * runs} | sums
    start = T0 + minute * MINUTE
    return Window(start, start + MINUTE, total, sketches, {})


def told(windows: Iterable[Window], judge: DriftJudge | None = None) -> list[Anomaly]:
    judge = judge or DriftJudge(DriftRules())
    return [anomaly for one in windows for anomaly in judge.judge("a", one)]


def series(*runs: tuple[int, float], start: int = 0) -> list[Window]:
    """Windows of consecutive minutes: so many of each level."""
    levels = [level for count, level in runs for _ in range(count)]
    return [window(start + at, level) for at, level in enumerate(levels)]


def test_ten_minutes_at_twice_the_usual_open_an_episode() -> None:
    (found,) = told(series((20, 4.0), (10, 8.0)))
    assert ("drift.tool_calls_per_run", "open", "warning", "a") == (
        found.rule,
        found.state,
        found.severity,
        found.agent,
    )
    assert (T0 + 20 * MINUTE, T0 + 30 * MINUTE) == (found.onset_ms, found.ts_ms)
    assert (8.0, 4.0) == (found.value, found.baseline)
    assert "Tool calls a run of a: 8 for 10 minutes, 2.0 times the usual 4." == found.message


def test_nine_minutes_do_not() -> None:
    assert [] == told(series((20, 4.0), (9, 8.0), (30, 4.0)))


def test_less_than_twice_does_not_however_long() -> None:
    assert [] == told(series((20, 4.0), (60, 7.9)))


def test_one_usual_window_begins_the_count_anew() -> None:
    assert [] == told(series((20, 4.0), (9, 9.0), (1, 4.0), (9, 9.0), (1, 4.0)))


def test_a_lone_spike_is_no_drift() -> None:
    assert [] == told(series((20, 4.0), (1, 400.0), (30, 4.0), (1, 400.0), (30, 4.0)))


def test_one_huge_run_is_no_drift() -> None:
    # A mean that one run lifts, in one window: not for ten minutes.
    assert [] == told([*series((20, 4.0)), window(20, 4.0, run_tool_calls_sum=4000.0), *series((20, 4.0), start=21)])


def test_windows_with_too_little_in_them_are_not_judged() -> None:
    assert [] == told([*series((20, 4.0)), *(window(20 + at, 50.0, runs=4) for at in range(30))])


def test_without_enough_history_nothing_is_judged() -> None:
    assert [] == told(series((14, 4.0), (1, 40.0), (9, 40.0)))
    assert DriftRules().least_windows == 15


def test_a_gap_says_nothing_about_what_came_before_it() -> None:
    hot = series((20, 4.0), (5, 9.0))
    assert [] == told([*hot, *series((9, 9.0), start=40)])
    assert 1 == len(told([*hot, *series((10, 9.0), start=40)]))


def test_an_episode_is_resolved_once_it_is_cool_for_long_enough_and_keeps_its_id() -> None:
    judge = DriftJudge(DriftRules())
    (opened,) = told(series((20, 4.0), (30, 9.0)), judge)
    # Below twice, but not below one and a half times: no end, and no new beginning.
    assert [] == told(series((10, 7.0), (4, 4.0), (1, 6.0), start=50), judge)
    (resolved,) = told(series((5, 4.0), start=65), judge)
    assert (opened.anomaly_id, opened.rule, opened.onset_ms) == (resolved.anomaly_id, resolved.rule, resolved.onset_ms)
    assert ("resolved", T0 + 70 * MINUTE, 4.0) == (resolved.state, resolved.ts_ms, resolved.value)
    assert "Tool calls a run of a is back to 4 (usual: 4)." == resolved.message
    assert [] == told(series((30, 4.0), start=70), judge)


def test_the_next_episode_has_an_id_of_its_own() -> None:
    found = told(series((20, 4.0), (20, 9.0), (20, 4.0), (20, 9.0)))
    assert ["open", "resolved", "open"] == [one.state for one in found]
    assert found[0].anomaly_id == found[1].anomaly_id != found[2].anomaly_id


def test_the_baseline_leaves_the_episode_out() -> None:
    judge = DriftJudge(DriftRules())
    told(series((20, 4.0), (200, 9.0)), judge)
    assert {("a", "tool_calls_per_run"): 4.0} == judge.baselines()


def test_what_looked_like_drift_and_was_none_is_history() -> None:
    judge = DriftJudge(DriftRules(least_windows=2, baseline_windows=4))
    told(series((2, 4.0), (3, 8.0), (1, 4.0)), judge)
    # Of 4, 4, 8, 8, 8, 4 the last four are kept.
    assert {("a", "tool_calls_per_run"): 8.0} == judge.baselines()


def test_the_ids_are_the_same_whenever_they_are_judged() -> None:
    one, two = told(series((20, 4.0), (12, 9.0))), told(series((30, 4.0), (12, 9.0), start=-10))
    assert [anomaly.anomaly_id for anomaly in one] == [anomaly.anomaly_id for anomaly in two]


def test_agents_are_judged_apart() -> None:
    judge = DriftJudge(DriftRules())
    for one in series((20, 4.0), (9, 9.0)):
        judge.judge("a", one)
    assert [] == judge.judge("b", window(29, 9.0))
    assert ["open"] == [anomaly.state for anomaly in judge.judge("a", window(29, 9.0))]


LEVELS: dict[str, dict[str, Any]] = {
    "latency_p95": {"sketch": "run_ms", "value": 2000.0},
    "spend_per_run": {"sketch": "run_cost_usd", "sum": "run_cost_usd_sum", "value": 0.25},
    "tokens_per_request": {"sum": "input_tokens", "per": "model_calls", "value": 1000.0},
    "retries_per_call": {"sum": "retries", "per": "tool_calls", "value": 0.25},
}


@pytest.mark.parametrize("name", LEVELS)
def test_each_metric_is_what_it_says(name: str) -> None:
    how = LEVELS[name]

    def at(minute: int, times: float) -> Window:
        sums = dict.fromkeys(SUMS, 0.0)
        sketches: dict[str, dict[int, int]] = {one: {} for one in SKETCHED}
        if "sketch" in how:
            key = key_of(how["value"] * times)
            assert key is not None
            sketches[how["sketch"]] = {key: RUNS}
        if "sum" in how:
            sums[how["sum"]] = how["value"] * times * RUNS
        if "per" in how:
            sums[how["per"]] = RUNS
        return Window(T0 + minute * MINUTE, T0 + (minute + 1) * MINUTE, sums, sketches, {})

    found = told([*(at(minute, 1) for minute in range(20)), *(at(20 + minute, 3) for minute in range(10))])
    assert [f"drift.{name}"] == [anomaly.rule for anomaly in found]
    assert found[0].baseline == pytest.approx(how["value"], rel=0.01)
    assert found[0].value == pytest.approx(3 * how["value"], rel=0.01)


def test_twice_next_to_nothing_is_no_drift() -> None:
    # Retries a call go from 1 in a 1,000 to 5 in a 1,000.
    quiet = [window(at, 1.0, runs=0, retries=1.0, tool_calls=1000.0) for at in range(20)]
    risen = [window(20 + at, 1.0, runs=0, retries=5.0, tool_calls=1000.0) for at in range(20)]
    assert [] == told([*quiet, *risen])
    assert 5 == len(METRICS)
