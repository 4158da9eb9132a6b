"""Episodes: when they open, when they do not, and how they end."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.processors.drift import DriftJudge, DriftRules
from runwatch.processors.merge import Window
from runwatch.processors.rules import Rules
from runwatch.schemas.anomalies import Anomaly
from runwatch.settings.events import METRICS

from .drift_windows import DAY, HOUR, MINUTE, MONDAY, noisy, series, share, told, tools, window

# With a note by it what a rule is about would be nothing but itself.
CALLS = "drift.tool_calls_per_run"


def only(found: list[Anomaly], rule: str = CALLS) -> list[Anomaly]:
    return [one for one in found if one.rule == rule]


# -- what is watched ---------------------------------------------------------------------------------


def test_what_is_not_tracked_is_not_told_of_and_covers_nothing() -> None:
    windows = series((20, 4.0), (10, 8.0))
    none = DriftJudge(Rules().tracking([]).drift)
    assert [] == told(windows, none)
    only_this = DriftJudge(Rules().tracking(["tool_calls_per_run_p95", "stop_reason"]).drift)
    # While tool calls a run are tracked, they say the same, and this is not told.
    assert ["drift.tool_calls_per_run_p95"] == [one.rule for one in told(series((40, 4.0), (20, 12.0)), only_this)]


def test_both_files_say_what_is_tracked() -> None:
    rules = Rules(drift=DriftRules(track=("outcome", "success")))
    assert ("success",) == rules.tracking(["success", "error_rate"]).drift.track
    assert rules == rules.tracking(METRICS)


# -- the multiple ------------------------------------------------------------------------------------


def test_ten_minutes_at_twice_the_usual_open_an_episode() -> None:
    (found,) = told(series((20, 4.0), (10, 8.0)))
    assert (CALLS, "open", "warning", "a") == (found.rule, found.state, found.severity, found.agent)
    assert (MONDAY + 20 * MINUTE, MONDAY + 30 * MINUTE) == (found.onset_ms, found.ts_ms)
    assert (pytest.approx(8.0), pytest.approx(4.0)) == (found.value, found.baseline)
    assert "Tool calls a run of a: 8 for 10 minutes, 2.0 times the usual 4." == found.message


def test_nine_minutes_do_not() -> None:
    assert [] == told(series((20, 4.0), (9, 8.0), (30, 4.0)))


def test_fifteen_windows_are_baseline_enough_and_fourteen_are_not() -> None:
    assert [CALLS] == [one.rule for one in told(series((15, 4.0), (10, 12.0)))]
    assert [] == told(series((14, 4.0), (9, 12.0)))


def test_a_usual_window_among_many_hot_ones_changes_nothing_but_half_of_them_do() -> None:
    (found,) = told(series((20, 4.0), (5, 9.0), (1, 4.0), (5, 9.0)))
    assert MONDAY + 20 * MINUTE == found.onset_ms
    assert [] == told(series((20, 4.0), *[(1, 9.0), (1, 4.0)] * 10))


def test_a_lone_spike_is_no_drift() -> None:
    assert [] == told(series((20, 4.0), (1, 400.0), (30, 4.0), (1, 400.0), (30, 4.0)))


def test_one_huge_run_is_no_drift() -> None:
    # Of ten runs in a window one makes 4,000 calls.
    huge = window(20, run_tool_calls=[4.0] * 9 + [4000.0], run_tool_calls_sum=4036.0, tool_calls=4036.0)
    assert [] == told([*series((20, 4.0)), huge, *series((40, 4.0), start=21)])


def test_one_huge_run_that_is_under_way_is_no_drift_of_what_steps_take() -> None:
    def at(minute: int, own: int) -> Window:
        # Three runs of ten steps a minute; and one whose requests grow and grow.
        tokens = 30 * 2_000 + own * 30_000
        took = [20_000.0] * 3
        return window(minute, 10.0, 3, model_calls=30 + own, input_tokens=tokens, tool_calls=30 + own, run_ms=took)

    assert [] == told([at(minute, 100 if 60 <= minute < 75 else 0) for minute in range(120)])
    # All runs do that: it shows in the runs that end.
    every = [at(minute, 0) for minute in range(60)]
    every += [window(60 + m, 40.0, 3, model_calls=130, input_tokens=130 * 10_000, tool_calls=120) for m in range(15)]
    assert {CALLS, "drift.tokens_per_request"} <= {one.rule for one in told(every)}


def test_four_times_the_usual_is_critical_at_once_and_twice_is_after_an_hour() -> None:
    (found,) = told(series((20, 4.0), (10, 17.0)))
    assert ("open", "critical") == (found.state, found.severity)
    opened, escalated = told(series((20, 4.0), (90, 9.0)))
    assert [("open", "warning"), ("escalated", "critical")] == [
        (one.state, one.severity) for one in (opened, escalated)
    ]
    assert (opened.anomaly_id, opened.ts_ms + HOUR) == (escalated.anomaly_id, escalated.ts_ms)


# -- few runs ----------------------------------------------------------------------------------------


def test_windows_of_few_runs_are_added_up() -> None:
    # One run a minute: five minutes make a measurement, fifteen of them a baseline, four a drift.
    (found,) = told([window(at, 4.0 if at < 100 else 12.0, runs=1) for at in range(125)])
    assert CALLS == found.rule
    assert MONDAY + 95 * MINUTE < found.onset_ms <= MONDAY + 100 * MINUTE
    assert found.ts_ms <= MONDAY + 121 * MINUTE


def test_less_than_enough_in_an_hour_is_not_judged() -> None:
    assert [] == told([window(40 * at, 4.0 if at < 40 else 40.0, runs=1) for at in range(80)])


# -- gaps and silence --------------------------------------------------------------------------------


def test_a_gap_says_nothing_about_what_came_before_it() -> None:
    hot = series((20, 4.0), (5, 9.0))
    assert [] == told([*hot, *series((9, 9.0), start=40)])
    assert 1 == len(told([*hot, *series((10, 9.0), start=40)]))


def test_an_open_episode_ends_where_the_agent_fell_silent() -> None:
    judge = DriftJudge(DriftRules())
    (opened,) = told(series((20, 4.0), (15, 9.0)), judge)
    (ended,) = told(series((1, 9.0), start=200), judge)
    assert (opened.anomaly_id, "resolved", MONDAY + 35 * MINUTE) == (ended.anomaly_id, ended.state, ended.ts_ms)
    assert "Tool calls a run of a: nothing more was heard since; it was 9 (usual: 4)." == ended.message


def test_by_the_logs_clock_too() -> None:
    judge = DriftJudge(DriftRules())
    (opened,) = told(series((20, 4.0), (15, 9.0)), judge)
    assert [] == judge.silent(1_000)
    assert [] == judge.silent(1_000 + HOUR)
    told(series((1, 9.0), start=35), judge)
    assert [] == judge.silent(1_001 + HOUR)
    (ended,) = judge.silent(1_002 + 2 * HOUR)
    assert (opened.anomaly_id, "resolved") == (ended.anomaly_id, ended.state)
    assert [] == judge.silent(10 * HOUR)


# -- the end -----------------------------------------------------------------------------------------


def test_an_episode_is_resolved_once_it_is_cool_for_long_enough_and_keeps_its_id() -> None:
    judge = DriftJudge(DriftRules())
    (opened,) = told(series((20, 4.0), (30, 9.0)), judge)
    # Below twice, but not below one and a half times: no end, and no new beginning.
    assert [] == told(series((10, 7.0), (4, 4.0), (1, 9.0), (1, 9.0), start=50), judge)
    (resolved,) = told(series((5, 4.0), start=66), judge)
    assert (opened.anomaly_id, opened.rule, opened.onset_ms) == (resolved.anomaly_id, resolved.rule, resolved.onset_ms)
    assert ("resolved", MONDAY + 71 * MINUTE, pytest.approx(4.0)) == (resolved.state, resolved.ts_ms, resolved.value)
    assert "Tool calls a run of a is back to 4 (usual: 4)." == resolved.message
    assert [] == told(series((30, 4.0), start=71), judge)


def test_the_next_episode_comes_after_a_while_and_has_an_id_of_its_own() -> None:
    found = told(series((20, 4.0), (20, 9.0), (20, 4.0), (20, 9.0)))
    assert ["open", "resolved", "open"] == [one.state for one in found]
    assert found[0].anomaly_id == found[1].anomaly_id != found[2].anomaly_id
    assert found[2].ts_ms >= found[1].ts_ms + DriftRules().cooldown


def test_the_baseline_leaves_the_episode_out() -> None:
    judge = DriftJudge(DriftRules())
    told(series((20, 4.0), (200, 9.0)), judge)
    assert pytest.approx(4.0) == judge.baselines()["a", "tool_calls_per_run"]


def test_a_level_that_lasts_for_a_day_is_the_new_usual() -> None:
    judge = DriftJudge(DriftRules())
    found = told(series((120, 4.0), (1_500, 9.0)), judge)
    assert [("open", "warning"), ("escalated", "critical"), ("resolved", "critical")] == [
        (one.state, one.severity) for one in found
    ]
    assert found[0].ts_ms + DAY == found[2].ts_ms
    assert "taken as the new usual" in found[2].message
    assert pytest.approx(9.0) == judge.baselines()["a", "tool_calls_per_run"]
    (again,) = told(series((10, 20.0), start=1_620), judge)
    assert ("open", pytest.approx(9.0)) == (again.state, again.baseline)


def test_the_ids_are_the_same_whenever_they_are_judged() -> None:
    one, two = told(series((20, 4.0), (12, 9.0))), told(series((30, 4.0), (12, 9.0), start=-10))
    assert [anomaly.anomaly_id for anomaly in one] == [anomaly.anomaly_id for anomaly in two]


def test_agents_are_judged_apart() -> None:
    judge = DriftJudge(DriftRules())
    told(series((20, 4.0), (9, 9.0)), judge)
    assert [] == told([window(29, 9.0)], judge, "b")
    assert ["open"] == [anomaly.state for anomaly in told([window(29, 9.0)], judge)]


# -- metrics -----------------------------------------------------------------------------------------

RUNS = 25
LEVELS: dict[str, dict[str, Any]] = {
    "tool_calls_per_run_p95": {"sketch": "run_tool_calls", "value": 9.0, "times": 3},
    "latency_p95": {"sketch": "run_ms", "value": 2000.0, "times": 3},
    "spend_per_run": {"sketch": "run_cost_usd", "sum": "run_cost_usd_sum", "value": 0.25, "times": 3},
    "tokens_per_request": {"sum": "input_tokens", "per": "model_calls", "value": 1000.0, "times": 3},
    "spend_per_token": {"sum": "cost_usd", "per": "input_tokens", "value": 3.0, "scale": 1e-6, "times": 3},
    "retries_per_call": {"sum": "retries", "per": "tool_calls", "value": 0.12, "times": 4},
    "error_rate": {"sum": "tool_errors", "per": "tool_calls", "value": 0.12, "times": 4},
    "success": {"sum": "successes", "per": "runs_stopped", "value": 0.92, "times": 0.5},
    "outcome": {"sum": "outcome_sum", "per": "outcome_count", "value": 0.92, "times": 0.5},
    "spend_per_good_outcome": {"sum": "run_cost_usd_sum", "per": "successes", "value": 0.04, "times": 3},
}


@pytest.mark.parametrize("name", LEVELS)
def test_each_metric_is_what_it_says(name: str) -> None:
    how = LEVELS[name]

    def at(minute: int, times: float) -> Window:
        value = how["value"] * times
        given: dict[str, Any] = {"runs_stopped": RUNS, "tool_calls": 0}
        if "sketch" in how:
            given[how["sketch"]] = [value] * RUNS
        if "per" in how:
            given |= {"model_calls": RUNS, how["per"]: RUNS}
        if "sum" in how:
            given[how["sum"]] = value * RUNS * how.get("scale", 1)
        return window(minute, 0.0, 0, **given)

    windows = [*(at(minute, 1) for minute in range(30)), *(at(30 + minute, how["times"]) for minute in range(16))]
    found = only(told(windows), f"drift.{name}")
    assert ["open"] == [one.state for one in found]
    assert pytest.approx(how["value"], rel=0.02) == found[0].baseline
    assert pytest.approx(how["value"] * how["times"], rel=0.02) == found[0].value


def test_twice_next_to_nothing_is_no_drift() -> None:
    # Retries a call go from 1 in a 1,000 to 5 in a 1,000.
    quiet = [window(at, 1.0, runs=0, retries=1.0, tool_calls=1000.0, runs_stopped=9) for at in range(20)]
    risen = [window(20 + at, 1.0, runs=0, retries=5.0, tool_calls=1000.0, runs_stopped=9) for at in range(20)]
    assert [] == told([*quiet, *risen])


def test_a_fall_of_success_reads_as_one() -> None:
    quiet = [window(at, runs=30, successes=27) for at in range(30)]
    (found,) = only(told([*quiet, *(window(30 + at, runs=30, successes=15) for at in range(12))]), "drift.success")
    assert "Success of a: 50% for 10 minutes, instead of the usual 90%." == found.message


# -- smaller changes ---------------------------------------------------------------------------------


def test_a_small_step_is_seen_in_time_and_a_smaller_one_never() -> None:
    def prices(times: float) -> list[Anomaly]:
        day = [
            window(at, runs_stopped=9, model_calls=30, input_tokens=60_000, cost_usd=0.12 * (times if at >= 120 else 1))
            for at in range(300)
        ]
        return only(told(day), "drift.spend_per_token")

    (found,) = prices(1.45)
    assert (MONDAY + 120 * MINUTE, "warning") == (found.onset_ms, found.severity)
    assert found.ts_ms <= MONDAY + 150 * MINUTE
    assert "45% above the usual" in found.message
    assert [] == prices(1.2)


def test_what_halves_is_told_once_and_for_information_only() -> None:
    def at(minute: int, times: float) -> Window:
        return window(
            minute,
            6.0 * times,
            25,
            run_ms=[2_000.0 * times] * 25,
            run_cost_usd=[0.02 * times] * 25,
            run_cost_usd_sum=0.5 * times,
            model_calls=100,
            input_tokens=200_000 * times,
        )

    found = told([*(at(minute, 1.0) for minute in range(40)), *(at(40 + minute, 0.5) for minute in range(40))])
    (fall,) = found
    assert ("drift.fall", "open", "info") == (fall.rule, fall.state, fall.severity)
    assert "tool calls a run 6 → 3" in fall.message and "run latency (p95)" in fall.message


# -- versions and tools ------------------------------------------------------------------------------


def canary(minute: int, calls: float) -> Window:
    """Forty runs of the old version, ten of the new one."""
    one = window(minute, runs=50, run_tool_calls=[4.0] * 40 + [calls] * 10, run_tool_calls_sum=160 + 10 * calls)
    shares = {"1": share(4.0, 40), "2": share(calls, 10)}
    return Window(one.start_ms, one.end_ms, one.sums, one.sketches, one.stop_reasons, shares)


def test_a_bad_canary_is_seen_against_its_agents_baseline() -> None:
    (found,) = only(told([*series((60, 4.0)), *(canary(60 + at, 9.0) for at in range(15))]))
    assert ("2", MONDAY + 60 * MINUTE, pytest.approx(4.0)) == (found.agent_version, found.onset_ms, found.baseline)
    assert found.message.startswith("Tool calls a run of a 2: 9 for 10 minutes")
    assert [] == told([*series((60, 4.0)), *(canary(60 + at, 4.0) for at in range(60))])


def test_while_the_agent_as_a_whole_drifts_its_versions_do_not_say_it_again() -> None:
    found = only(told([*series((60, 4.0)), *(canary(60 + at, 60.0) for at in range(30))]))
    assert [None] == [one.agent_version for one in found]


def failing(minute: int, failed: int) -> list[Any]:
    """A window in which the tool `get` fails so often, and what it means for the agent: it makes a quarter of calls."""
    whole = window(minute, 10.0, 10, tool_errors=failed)
    return [whole, tools(minute, get=(25, failed), put=(75, 0))]


def test_a_tools_failures_are_its_own_until_the_agent_feels_them() -> None:
    def after(failed: int) -> list[Anomaly]:
        judged = [one for minute in range(60) for one in failing(minute, 0 if minute < 40 else failed)]
        return only(told(judged), "drift.error_rate")

    # 4 of the agent's 100 calls.
    (of_tool,) = after(4)
    assert ("get", "critical") == (of_tool.tool, of_tool.severity)
    assert of_tool.message.startswith("Failing calls of get (a): 16% for")
    # 20 of 100: it is the agent's, and the tool is named.
    (of_agent,) = after(20)
    assert None is of_agent.tool
    assert "100% of the failures more are get's." in of_agent.message


# -- bounds ------------------------------------------------------------------------------------------


def test_agents_tools_and_versions_are_bounded_and_the_longest_silent_leave() -> None:
    judge = DriftJudge(DriftRules(most_tracks=100))
    for number in range(300):
        told([window(number)], judge, f"agent-{number}")
    assert 100 == len(judge)
    for number in range(300):
        told([tools(300 + number, **{f"tool-{number}": (10, 0)})], judge, "agent-299")
    assert len(judge) <= 100
    assert {"agent-299"} >= {agent for agent, _ in judge.baselines()}


def test_the_same_windows_say_the_same() -> None:
    import random

    def life() -> list[Anomaly]:
        chance = random.Random(5)
        return told([noisy(at, chance, factor=1.0 if at < 700 else 2.7) for at in range(800)])

    assert life() == life() != []
