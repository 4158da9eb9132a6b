import time
from collections import defaultdict
from dataclasses import asdict, replace

import pytest

from runwatch.producers.connection import connect
from runwatch.producers.simulator import Fleet, FleetSettings

START = 1_760_000_000_000
MINUTE = 60_000
SETTINGS = FleetSettings()


def make_fleet(sink, settings, **given):
    return Fleet(settings, START, lambda clock: connect("fleet", transport=sink, clock=clock, **given))


def runs_of(events):
    runs = defaultdict(list)
    for event in events:
        runs[event.run_id].append(event)
    return list(runs.values())


def p95(values):
    return sorted(values)[int(0.95 * len(values))]


def longest_streak(calls):
    longest = length = 0
    before = None
    for call in calls:
        length = length + 1 if call is not None and call == before else int(call is not None)
        before = call
        longest = max(longest, length)
    return longest


def most_cycles(calls):
    """How often the same 2 to 6 calls came round, one after the other, where not all of them are the same."""
    most = 0
    for period in range(2, 7):
        length = 0
        for at in range(period, len(calls)):
            length = length + 1 if calls[at] == calls[at - period] and len(set(calls[at - period : at])) > 1 else 0
            most = max(most, 1 + length // period if length >= period else 0)
    return most


def loops(run):
    """Which of the plain loop rules a run would set off."""
    tools = [event for event in run if event.kind == "tool_result"]
    return {
        name
        for name, found in {
            "repeat": longest_streak([(e.tool, e.args_sha, e.result_sha) for e in tools]) >= 4,
            "failing": longest_streak([(e.tool, e.args_sha) if e.status == "error" else None for e in tools]) >= 4,
            "cycle": most_cycles([(e.tool, e.args_sha, e.result_sha) for e in tools]) >= 3,
        }.items()
        if found
    }


@pytest.fixture(scope="module")
def story(new_sink):
    """Twenty minutes of quiet and twenty of the incident, for the agent that it hits and one that it does not."""
    sink = new_sink()
    settings = replace(SETTINGS, agents=120, profiles=SETTINGS.profiles[:2])
    with make_fleet(sink, settings) as fleet:
        fleet.run(START + 20 * MINUTE)
        fleet.run(START + 40 * MINUTE, onset_ms=START + 20 * MINUTE)
        dropped = fleet.stats["dropped"]
    assert 0 == dropped
    return runs_of(sink.events)


def split(story, agent):
    of_agent = [run for run in story if run[0].agent == agent]
    onset = START + 20 * MINUTE
    return [run for run in of_agent if run[0].ts_ms < onset], [run for run in of_agent if run[0].ts_ms >= onset]


def figures(runs):
    stops = [run[-1] for run in runs]
    return {
        "calls": sum(stop.tool_calls for stop in stops) / len(stops),
        "p95_s": p95([stop.duration_ms for stop in stops]) / 1000,
        "usd": sum(stop.cost_usd for stop in stops) / len(stops),
        "success": sum(stop.stop_reason == "success" for stop in stops) / len(stops),
    }


def test_the_articles_figures(story):
    quiet, incident = (figures(runs) for runs in split(story, "research"))
    assert pytest.approx(4.3, abs=0.2) == quiet["calls"]
    assert pytest.approx(11.7, abs=0.5) == incident["calls"]
    assert pytest.approx(2.1, abs=0.2) == quiet["p95_s"]
    assert pytest.approx(8.4, abs=0.6) == incident["p95_s"]
    assert 1.8 <= incident["usd"] / quiet["usd"] <= 2.2
    assert 0.01 <= quiet["usd"] <= 0.05
    for some in (quiet, incident):
        assert 0.89 <= some["success"] <= 0.93


def test_the_other_agents_stay_well(story):
    quiet, incident = (figures(runs) for runs in split(story, "support"))
    assert pytest.approx(quiet["calls"], rel=0.05) == incident["calls"]
    assert pytest.approx(quiet["p95_s"], rel=0.1) == incident["p95_s"]
    assert pytest.approx(quiet["usd"], rel=0.05) == incident["usd"]


def test_the_release_that_raised_the_retries_comes_with_the_incident(story):
    quiet, incident = ({run[0].agent_version for run in runs} for runs in split(story, "research"))
    assert ({"2.1.0"}, {"2.1.1"}) == (quiet, incident)
    quiet, after = ({run[0].agent_version for run in runs} for runs in split(story, "support"))
    assert ({"1.4.2"}, {"1.4.2"}) == (quiet, after)


def test_only_the_incident_loops(story):
    quiet, incident = split(story, "research")
    others = [run for runs in split(story, "support") for run in runs]
    assert 0 == sum(bool(loops(run)) for run in quiet + others)
    kinds = [kind for run in incident for kind in loops(run)]
    assert {"repeat", "failing", "cycle"} == set(kinds)
    flagged = sum(bool(loops(run)) for run in incident) / len(incident)
    assert 0.1 < flagged < 0.4, "some runs loop, and most do not"


def test_what_http_get_answers(story):
    quiet, incident = split(story, "research")
    before = [e for run in quiet for e in run if e.tool == "http.get"]
    during = [e for run in incident for e in run if e.tool == "http.get"]
    assert {429} & {e.http_status for e in before} == set()
    assert {429, 503, 200} <= {e.http_status for e in during}
    assert 3 == max(e.attempt for e in before)
    assert 9 == max(e.attempt for e in during)
    assert {"error"} == {e.status for e in during if e.http_status in (429, 503)}


def test_every_run_is_whole(story):
    for run in story:
        assert list(range(len(run))) == [event.seq for event in run]
        assert ("run_start", "stop") == (run[0].kind, run[-1].kind)
        assert [] == [event.kind for event in run[1:-1] if event.kind not in ("model_result", "tool_result")]
        assert run[-1].tool_calls == sum(event.kind == "tool_result" for event in run)
        assert run[0].parent_run_id is None


def test_the_same_seed_gives_the_same_runs(new_sink):
    def story(seed):
        sink = new_sink()
        with make_fleet(sink, replace(SETTINGS, agents=12, seed=seed)) as fleet:
            fleet.run(START + 5 * MINUTE, onset_ms=START + 2 * MINUTE)
        return [{**asdict(event), "event_id": None} for event in sink.events]

    first = story(5)
    assert 200 < len(first)
    assert story(5) == first
    assert story(6) != first


def test_a_fleet_of_other_names_has_other_runs(new_sink):
    def runs(name):
        sink = new_sink()
        profile = replace(SETTINGS.profiles[0], agent=name)
        with make_fleet(sink, replace(SETTINGS, agents=4, profiles=(profile,))) as fleet:
            fleet.run(START + 2 * MINUTE)
        return [run[0].run_id for run in runs_of(sink.events)], [(e.seq, e.ts_ms, e.tool) for e in sink.events]

    (ids, story), (other_ids, other_story) = runs("research"), runs("research-2")
    assert set() == set(ids) & set(other_ids)
    assert story == other_story


def test_the_fleet_is_shared_out(sink):
    with make_fleet(sink, replace(SETTINGS, agents=20)) as fleet:
        fleet.run(START + 2 * MINUTE)
    agents = {event.agent: event.model for event in sink.events}
    assert {profile.agent: profile.model for profile in SETTINGS.profiles} == agents


def test_a_fleet_in_pieces_is_the_same_fleet(new_sink):
    def story(*until):
        sink = new_sink()
        with make_fleet(sink, replace(SETTINGS, agents=8)) as fleet:
            for minutes in until:
                fleet.run(START + minutes * MINUTE)
        return [(event.run_id, event.seq, event.ts_ms) for event in sink.events]

    assert story(4) == story(1, 2, 4)


def test_a_slow_way_out_slows_the_fleet_and_loses_nothing(new_sink):
    class SlowSink(new_sink):
        def send(self, messages):
            time.sleep(0.001)
            return super().send(messages[:20])

    sink = SlowSink()
    with make_fleet(sink, replace(SETTINGS, agents=40), queue_size=2_000) as fleet:
        fleet.run(START + 5 * MINUTE)
    assert 0 == fleet.stats["dropped"]
    assert fleet.stats["sent"] == len(sink.messages) > 2_000


def test_the_pace(sink):
    with make_fleet(sink, replace(SETTINGS, agents=10)) as fleet:
        began = time.monotonic()
        fleet.run(START + MINUTE, speed=120.0)
        assert 0.4 <= time.monotonic() - began < 2.0


def test_progress_and_an_early_end(sink):
    seen = []
    with make_fleet(sink, replace(SETTINGS, agents=50)) as fleet:
        progress = fleet.run(START + 60 * MINUTE, on_progress=seen.append, stop=lambda: len(seen) >= 3)
    assert 4 == len(seen)
    assert seen[-1] == progress
    assert START < seen[0].now_ms < progress.now_ms < START + 60 * MINUTE
    assert 0 < seen[0].runs <= progress.runs
