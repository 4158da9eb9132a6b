"""Simulated histories: the same each time, events as an agent sends them, and what is said to happen does."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from runwatch.bench.incidents.columns import SCHEMA
from runwatch.bench.incidents.history import agent_day, history
from runwatch.bench.incidents.profile import Agent, Change, Profile, Tool, traffic
from runwatch.bench.incidents.scenarios import LIBRARY, START_MS
from runwatch.bench.incidents.work import DAY_MS
from runwatch.schemas.reasons import LOOP_DETECTED, SUCCESS

HOUR_MS = 3_600_000


def day_of(name: str, day: int, agent: int = 0) -> pl.DataFrame:
    return agent_day(LIBRARY[name].agents[agent], day)


def stops(events: pl.DataFrame) -> pl.DataFrame:
    return events.filter(pl.col("kind") == "stop")


def calls(events: pl.DataFrame) -> pl.DataFrame:
    return events.filter(pl.col("kind") == "tool_result")


def requests(events: pl.DataFrame) -> pl.DataFrame:
    return events.filter(pl.col("kind") == "model_result")


def mean(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).mean())  # type: ignore[arg-type]


def after_onset(name: str, events: pl.DataFrame) -> pl.DataFrame:
    """The runs that began after it."""
    onset_ms = START_MS + LIBRARY[name].onset_h * HOUR_MS  # type: ignore[operator]
    begun = events.filter((pl.col("kind") == "run_start") & (pl.col("ts_ms") >= onset_ms))["run_id"]
    return events.filter(pl.col("run_id").is_in(begun.implode()))


# -- events ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_events_and_another_one_others() -> None:
    agent = LIBRARY["article"].agents[0]
    assert agent_day(agent, 8).equals(agent_day(agent, 8))
    assert not agent_day(agent, 8).equals(agent_day(agent, 8, seed=2))


def test_an_agents_events_are_the_same_beside_others() -> None:
    alone = pl.concat(history([LIBRARY["new agents"]]))
    beside = pl.concat(list(history([LIBRARY["new agents"], LIBRARY["weekends"]]))[:1])
    agents = alone["agent"].unique()
    first_day = alone.filter(pl.col("ts_ms") < START_MS + DAY_MS)
    assert first_day.equals(beside.filter(pl.col("agent").is_in(agents.implode())))


def test_columns_are_the_folds() -> None:
    events = day_of("outage", 8)
    assert {**SCHEMA, "looping": pl.Boolean} == dict(events.schema)
    assert [] == [name for name in ("run_id", "seq", "kind", "ts_ms", "agent", "status") if events[name].null_count()]


def test_a_run_is_a_start_then_requests_and_calls_then_one_stop() -> None:
    runs = (
        day_of("article", 8)
        .group_by("run_id", maintain_order=True)
        .agg(
            in_order=(pl.col("seq") == pl.int_range(pl.len())).all(),
            first=pl.col("kind").first(),
            last=pl.col("kind").last(),
            starts=(pl.col("kind") == "run_start").sum(),
            stops=(pl.col("kind") == "stop").sum(),
            calls=(pl.col("kind") == "tool_result").sum(),
            told=pl.col("tool_calls").last(),
            cost=pl.col("cost_usd").filter(pl.col("kind") == "model_result").sum(),
            cost_told=pl.col("cost_usd").last(),
            began=pl.col("ts_ms").first(),
            ended=pl.col("ts_ms").last(),
            took=pl.col("duration_ms").last(),
        )
    )
    assert runs["in_order"].all()
    assert {"run_start"} == set(runs["first"])
    assert {"stop"} == set(runs["last"])
    assert {1} == set(runs["starts"]) | set(runs["stops"])
    assert runs["calls"].equals(runs["told"], check_dtypes=False, check_names=False)
    assert 1e-9 > (runs["cost"] - runs["cost_told"]).abs().max()  # type: ignore[operator]
    assert 2 >= (runs["ended"] - runs["began"] - runs["took"]).abs().max()  # type: ignore[operator]


def test_history_is_in_the_order_of_time_and_loses_no_run_at_midnight() -> None:
    pieces = list(history([LIBRARY["new agents"], LIBRARY["outage"]]))
    times = pl.concat(pieces)["ts_ms"]
    assert times.is_sorted()
    for day, piece in enumerate(pieces[:-1]):
        assert START_MS + day * DAY_MS <= piece["ts_ms"].min() <= piece["ts_ms"].max() < START_MS + (day + 1) * DAY_MS  # type: ignore[operator]
    kinds = pl.concat(pieces)["kind"].value_counts()
    counted = dict(kinds.iter_rows())
    assert counted["run_start"] == counted["stop"]


def test_a_failed_call_is_tried_again_with_the_same_arguments() -> None:
    tried = calls(day_of("a month", 3)).sort("run_id", "seq")
    again = tried.filter(pl.col("attempt") > 1)
    before = tried[(tried.with_row_index().filter(pl.col("attempt") > 1)["index"] - 1).to_list()]
    assert 50 < again.height
    assert again["args_sha"].equals(before["args_sha"])
    assert {"error"} == set(before["status"])
    assert before["result_sha"].is_null().all()
    assert 3 == tried["attempt"].max()


def test_no_two_calls_are_alike_but_in_runs_that_loop() -> None:
    tried = calls(day_of("looping fleet", 8)).filter(pl.col("attempt") == 1)
    honest = tried.filter(~pl.col("looping"))
    assert honest.height == honest["args_sha"].n_unique()
    repeated = (
        tried.filter("looping").group_by("run_id", "args_sha").agg(n=pl.len(), results=pl.col("result_sha").n_unique())
    )
    most = repeated.group_by("run_id").agg(pl.col("n").max())["n"]
    assert 8 <= most.min() <= most.max() <= 16  # type: ignore[operator]
    assert {1} == set(repeated.filter(pl.col("n") > 1)["results"])


def test_a_looping_run_is_stopped_for_it() -> None:
    ended = stops(day_of("looping fleet", 8))
    assert {LOOP_DETECTED} == set(ended.filter("looping")["stop_reason"])
    assert LOOP_DETECTED not in set(ended.filter(~pl.col("looping"))["stop_reason"])


# -- ordinary life -----------------------------------------------------------------------------------------------------


def test_a_usual_day() -> None:
    events = pl.concat(day_of("a month", day, agent=1) for day in range(5))
    ended = stops(events)
    sizes = events.group_by("run_id").len()["len"]
    assert 2_000 < ended.height / 5 < 2_300
    assert 4.2 < mean(ended["tool_calls"]) < 4.5
    assert 5 <= sizes.min() <= sizes.max() < 80  # type: ignore[operator]
    assert 0.015 < mean(calls(events)["status"] == "error") < 0.025
    assert 0.9 < mean(ended["stop_reason"] == SUCCESS) < 0.95
    assert 0.82 < mean(ended["outcome"].drop_nulls()) < 0.88
    # The tail is heavy: the slowest runs take several times as long as most.
    assert 2 * ended["duration_ms"].quantile(0.5) < ended["duration_ms"].quantile(0.95)  # type: ignore[operator]


def test_nights_and_weekends_are_quiet() -> None:
    by_hour = pl.concat(stops(day_of("day and night", day)) for day in range(5))
    hours = by_hour["ts_ms"] // HOUR_MS % 24
    assert 4 * (hours == 2).sum() < (hours == 13).sum()
    assert 7 * stops(day_of("weekends", 5)).height < stops(day_of("weekends", 3)).height


def test_traffic_times_ten_is_that() -> None:
    (agent,) = LIBRARY["traffic x 10"].agents
    at = pl.Series([8 * 24 + 10.9, 8 * 24 + 11.1]).to_numpy()
    before, after = traffic(agent, at)
    assert 10 == pytest.approx(after / before, rel=0.02)


def test_a_gap_is_one() -> None:
    begun = day_of("gaps", 2).filter(pl.col("kind") == "run_start")["ts_ms"] - START_MS - 2 * DAY_MS
    assert 0 == begun.is_between(9 * HOUR_MS, 12 * HOUR_MS).sum()
    assert 100 < begun.is_between(12 * HOUR_MS, 15 * HOUR_MS).sum()


def test_one_run_is_huge() -> None:
    by_size = [stops(day_of("huge runs", day))["tool_calls"].sort(descending=True).to_list() for day in (1, 2)]
    assert 500 <= by_size[0][0]
    assert 60 > by_size[0][1]
    assert 60 > by_size[1][0]


# -- incidents ---------------------------------------------------------------------------------------------------------


def ratio(name: str, measure: str, days: Sequence[int] = (8,)) -> float:
    """The measure's mean in runs after the onset, as a multiple of that of the day before."""
    before = mean(stops(day_of(name, days[0] - 1))[measure].drop_nulls())
    after = pl.concat(stops(after_onset(name, day_of(name, day))) for day in days)
    return mean(after[measure].drop_nulls()) / before


def test_the_articles_incident_has_the_articles_figures() -> None:
    assert 2.8 == pytest.approx(ratio("article", "tool_calls"), rel=0.1)
    assert 2.0 == pytest.approx(ratio("article", "cost_usd"), rel=0.15)
    usual = stops(day_of("article", 7))["duration_ms"].quantile(0.95)
    hit = after_onset("article", day_of("article", 8))
    assert 4.0 == pytest.approx(stops(hit)["duration_ms"].quantile(0.95) / usual, rel=0.2)  # type: ignore[operator]
    assert {429, 503} == set(calls(hit).filter(pl.col("tool") == "http.get")["http_status"].drop_nulls())
    assert 9 == calls(hit)["attempt"].max()
    assert 3 == calls(day_of("article", 7))["attempt"].max()


def test_the_creep_is_one_per_cent_an_hour() -> None:
    for day, factor in ((8, 1.12), (10, 1.6), (12, 2.08)):
        grown = mean(stops(day_of("creep", day))["tool_calls"]) / mean(stops(day_of("creep", 7))["tool_calls"])
        assert factor == pytest.approx(grown, rel=0.1)


def test_the_outage_is_of_one_tool() -> None:
    tried = calls(after_onset("outage", day_of("outage", 8)))
    tried = tried.filter(pl.col("ts_ms") < START_MS + LIBRARY["outage"].over_h * HOUR_MS)  # type: ignore[operator]
    down = tried.filter(pl.col("tool") == "fetch.outage")
    assert {("error", "ToolTimeout")} == set(down.select("status", "error").iter_rows())
    assert 0.05 > mean(tried.filter(pl.col("tool") != "fetch.outage")["status"] == "error")


def test_a_model_swap_is_seen_in_tokens_and_latency() -> None:
    hit = after_onset("model swap", day_of("model swap", 8))
    usual = day_of("model swap", 7)
    tokens = mean(requests(hit)["input_tokens"]) / mean(requests(usual)["input_tokens"])
    assert 1.6 == pytest.approx(tokens, rel=0.1)
    assert 1.6 == pytest.approx(ratio("model swap", "duration_ms", (8, 9)), rel=0.1)
    assert {"gpt-5.2"} == set(hit["model"])


def test_a_prompt_regression_is_seen_in_outcomes_and_nowhere_else() -> None:
    days = (8, 9)
    outcomes = pl.concat(stops(after_onset("prompt regression", day_of("prompt regression", day))) for day in days)
    assert 0.65 == pytest.approx(mean(outcomes["outcome"].drop_nulls()), abs=0.03)
    assert 0.85 == pytest.approx(mean(stops(day_of("prompt regression", 7))["outcome"].drop_nulls()), abs=0.03)
    for measure in ("tool_calls", "cost_usd", "duration_ms"):
        assert 1.0 == pytest.approx(ratio("prompt regression", measure, days), rel=0.07), measure


def test_a_price_change_is_seen_in_spend_and_nowhere_else() -> None:
    assert 1.4 == pytest.approx(ratio("price change", "cost_usd", (8, 9)), rel=0.07)
    assert 1.0 == pytest.approx(ratio("price change", "tool_calls", (8, 9)), rel=0.07)


def test_a_bad_canary_is_a_part_of_the_traffic() -> None:
    ended = stops(after_onset("bad canary", day_of("bad canary", 9)))
    canary = ended["agent_version"] == "1.1.0-rc1"
    assert 0.15 == pytest.approx(mean(canary), abs=0.02)
    doubled = mean(ended.filter(canary)["tool_calls"]) / mean(ended.filter(~canary)["tool_calls"])
    assert 2.0 == pytest.approx(doubled, rel=0.1)


def test_a_looping_fleet_changes_its_stop_mix() -> None:
    usual, hit = day_of("looping fleet", 7), after_onset("looping fleet", day_of("looping fleet", 8))
    assert 0.01 > mean(stops(usual)["stop_reason"] == LOOP_DETECTED)
    assert 0.125 == pytest.approx(mean(stops(hit)["stop_reason"] == LOOP_DETECTED), abs=0.03)


def test_halved_is_halved() -> None:
    before, after = stops(day_of("halved", 7)), stops(day_of("halved", 9))
    assert 0.5 == pytest.approx(mean(after["tool_calls"]) / mean(before["tool_calls"]), rel=0.1)
    # Half as many steps, each in half the time.
    assert 0.3 == pytest.approx(mean(after["duration_ms"]) / mean(before["duration_ms"]), rel=0.2)


# -- the library -------------------------------------------------------------------------------------------------------


def test_each_agent_and_each_tool_is_of_one_scenario() -> None:
    agents = [agent.profile.agent for scenario in LIBRARY.values() for agent in scenario.agents]
    tools = [tool.name for scenario in LIBRARY.values() for agent in scenario.agents for tool in agent.profile.tools]
    assert len(agents) == len(set(agents))
    assert len(tools) == len(set(tools))


def test_incidents_begin_after_a_week_and_say_what_sees_them() -> None:
    real = [scenario for scenario in LIBRARY.values() if scenario.is_real]
    assert [] == [one.name for one in real if one.onset_h < 7 * 24 or not one.seen_by or not one.within_min]  # type: ignore[operator]
    assert 12 == LIBRARY["article"].within_min
    assert 10 <= len(real)
    assert 10 <= len(LIBRARY) - len(real)


def test_a_change_that_comes_slowly_is_half_there_half_way() -> None:
    change = Change(10.0, 20.0, ramp_h=4.0)
    at = pl.Series([9.9, 10.0, 12.0, 14.0, 19.9, 20.0]).to_numpy()
    assert [0.0, 0.0, 0.5, 1.0, 1.0, 0.0] == change.weight(at).tolist()


def test_an_agent_without_traffic_has_no_events() -> None:
    agent = Agent(Profile("idle", (Tool("t", 1.0, 10.0),), runs_per_min=0.0))
    assert 0 == agent_day(agent, 0).height
