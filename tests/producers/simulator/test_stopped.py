"""Runs that are stopped, and their twins: the same runs with nobody to stop them."""

from collections import Counter
from dataclasses import replace

import pytest

from runwatch.producers.connection import connect
from runwatch.producers.simulator import Fleet, FleetSettings
from runwatch.producers.simulator.twins import without_guard
from runwatch.schemas.controls import Control

START = 1_760_000_000_000
MINUTE = 60_000
LONG_AFTER = START + 365 * 24 * 3_600_000
"""When the policy speaks: real time, which history lies long before."""
SETTINGS = replace(FleetSettings(), agents=40, profiles=FleetSettings().profiles[:1])


def stop(control, run_id):
    scope = f"run:{run_id}"
    control.state.apply(
        Control(f"c{run_id}", scope, "stop", LONG_AFTER, "it loops", "policy:loop.repeat", LONG_AFTER + 3_600_000)
    )


def lived(sink, control=None, on_stopped=None, settings=SETTINGS):
    fleet = Fleet(
        settings, START, lambda clock: connect("fleet", transport=sink, control=control, clock=clock), on_stopped
    )
    with fleet:
        fleet.run(START + 6 * MINUTE, onset_ms=START)
    return fleet


def ends(sink):
    return {event.run_id: event for event in sink.events if event.kind == "stop"}


@pytest.fixture
def two_runs(sink, control):
    """The runs of a fleet in which the second run to begin and the eleventh are stopped before they begin."""
    tried = type(sink)()
    lived(tried)
    ids = list(dict.fromkeys(event.run_id for event in tried.events))
    for at in (1, 10):
        stop(control, ids[at])
    return ids[1], ids[10], ends(tried)


def test_a_stopped_run_is_over_and_its_agent_goes_on(two_runs, sink, control):
    one, other, _ = two_runs
    told = []
    fleet = lived(sink, control, told.append)
    assert [one, other] == [stopped.task.run_id for stopped in told]
    assert told == fleet.stopped
    assert {"loop_detected"} == {ends(sink)[run_id].stop_reason for run_id in (one, other)}
    for stopped in told:
        events = [event for event in sink.events if event.run_id == stopped.task.run_id]
        # The call that was refused is the first one, a model's: a run begins with a thought.
        assert ["run_start", "model_result", "stop"] == [event.kind for event in events]
        assert "RunStopped" == events[1].error
        assert (0, 0.0) == (stopped.life.tool_calls, stopped.life.cost_usd)
        assert "it loops" in stopped.sentence
        assert 1 == len(stopped.logged_at)
        assert stopped.logged_at[0] <= stopped.refused_at
    # Forty agents, some six tasks each.
    assert 150 < len(ends(sink))


def test_a_stop_changes_no_other_run(two_runs, sink, control):
    one, other, before = two_runs
    lived(sink, control)
    after = ends(sink)
    same = [run_id for run_id in before if run_id in after and run_id not in (one, other)]
    assert len(before) - 5 < len(same)
    for run_id in same:
        assert (before[run_id].tool_calls, before[run_id].stop_reason) == (
            after[run_id].tool_calls,
            after[run_id].stop_reason,
        )
        assert pytest.approx(before[run_id].cost_usd) == after[run_id].cost_usd


def test_the_twin_of_a_run_that_nobody_stopped_is_equal(sink, monkeypatch):
    tasks = []
    real = Fleet._do

    async def noted(self, task):
        tasks.append(task)
        await real(self, task)

    monkeypatch.setattr(Fleet, "_do", noted)
    fleet = lived(sink)
    assert [] == fleet.stopped == fleet.unstopped()
    assert 150 < len(tasks)
    twins = without_guard(tasks, START)
    told = ends(sink)
    assert {task.run_id for task in tasks} == set(told)
    for task, twin in zip(tasks, twins, strict=True):
        end = told[task.run_id]
        assert (twin.tool_calls, twin.stop_reason) == (end.tool_calls, end.stop_reason)
        assert pytest.approx(twin.cost_usd) == end.cost_usd
    assert fleet.hit.runs == len(tasks), "every agent here meets the incident"
    assert fleet.hit.tool_calls == sum(twin.tool_calls for twin in twins)
    assert pytest.approx(fleet.hit.cost_usd) == sum(twin.cost_usd for twin in twins)


def test_the_twin_of_a_stopped_run_goes_on(two_runs, sink, control):
    *_, before = two_runs
    fleet = lived(sink, control)
    for stopped, twin in zip(fleet.stopped, fleet.unstopped(), strict=True):
        end = before[stopped.task.run_id]
        assert (twin.tool_calls, twin.stop_reason) == (end.tool_calls, end.stop_reason)
        assert pytest.approx(twin.cost_usd) == end.cost_usd


def test_a_run_is_stopped_in_its_midst(sink, control):
    """By what is said while it runs: seen at the next call, whatever the time is in the fleet."""
    settings = replace(SETTINGS, agents=8)
    with Fleet(settings, START, lambda clock: connect("fleet", transport=sink, control=control, clock=clock)) as fleet:
        for turn in range(1, 60):
            fleet.run(START + turn * MINUTE // 10, onset_ms=START)
            fleet.flush()
            calls = Counter(event.run_id for event in sink.events if event.kind == "tool_result")
            for run_id in calls.keys() - ends(sink).keys():
                if calls[run_id] >= 8:
                    stop(control, run_id)
    assert fleet.stopped
    for stopped, twin in zip(fleet.stopped, fleet.unstopped(), strict=True):
        assert 8 <= stopped.life.tool_calls <= twin.tool_calls
        assert stopped.life.cost_usd <= twin.cost_usd
        # A refusal and the stop come on top of what the run has done.
        assert len(stopped.logged_at) + 2 == sum(event.run_id == stopped.task.run_id for event in sink.events)


def test_the_safe_default_budgets_end_nobody(sink):
    incident = replace(SETTINGS.incident, stuck=1.0, endless=1.0)
    fleet = lived(sink, settings=replace(SETTINGS, incident=incident))
    assert [] == fleet.stopped
    assert 50 < max(end.tool_calls for end in ends(sink).values()) < 200
