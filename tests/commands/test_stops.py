"""What the demo says of the runs that were stopped."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.commands.stops import Stops, reckon
from runwatch.producers.simulator import FleetSettings, Life, Stopped, Task, Used
from runwatch.schemas.anomalies import Anomaly

PROFILE = FleetSettings().profiles[0]


def stopped(run_id: str, calls: int, usd: float, refused_at: float, reason: str = "loop_detected") -> Stopped:
    task = Task(run_id, PROFILE, "seed", FleetSettings().incident)
    # A call every tenth of a second.
    logged_at = tuple(at / 10 for at in range(2 * calls + 1))
    return Stopped(task, Life(calls, usd, reason), 1, "Run a is stopped.", logged_at, refused_at)


def critical(run_id: str, *seqs: int, severity: Any = "critical", rule: str = "loop.repeat") -> Anomaly:
    return Anomaly("a", rule, "open", severity, 1, 1, "research", 4.0, "It loops.", run_id=run_id, seqs=seqs)


@pytest.fixture
def stops() -> Stops:
    return reckon(
        [stopped("a", 10, 1.0, 1.0), stopped("b", 20, 2.0, 2.25), stopped("c", 5, 9.0, 3.0, "killed")],
        [Life(100, 10.0, "success"), Life(50, 5.0, "max_steps"), Life(7, 99.0, "success")],
        Used(runs=50, tool_calls=380, cost_usd=36.0),
        # What counts is the first event that is critical, and when it was logged: at 0.8 and 2.0.
        [
            critical("a", 3, 5, severity="warning"), critical("a", 2, 8), critical("a", 4, 12), critical("b", 20),
            critical("d", 9), Anomaly("x", "drift.error_rate", "open", "critical", 1, 1, "research", 1.0, "It fails."),
        ],
    )  # fmt: skip


def test_what_was_saved(stops: Stops) -> None:
    assert {
        "runs": 2, "looping_runs": 3, "calls": 30, "calls_without": 150, "cost_usd": 3.0, "cost_usd_without": 15.0,
        "incident_calls_without": 500, "incident_cost_usd_without": 48.0, "delay_ms": 225,
    } == stops.report()  # fmt: skip


def test_what_a_run_would_have_taken(stops: Stops) -> None:
    assert (500 / 50, pytest.approx(48.0 / 50)) == stops.a_run_without()


def test_how_it_is_told(stops: Stops) -> None:
    assert [
        "Of 3 looping runs the policy stopped 2; the others were over before it could.",
        "Beside the same runs, lived again to their end without it:",
        "  tool calls  30 instead of 150: 120 saved, 80% of theirs, 24% of the whole incident's",
        "  spend       $3.00 instead of $15.00: $12.00 saved, 80% of theirs, 25% of the whole incident's",
        "  delay       225 ms from the event that makes a loop critical to the refused call, the median",
    ] == stops.lines(1.0)
    assert "              at 60 times real time it comes 13.5 s late by the fleet's clock" == stops.lines(60.0)[-1]


def test_of_a_policy_that_left_runs_alone(stops: Stops) -> None:
    capped = Anomaly("p", "policy.capped", "open", "critical", 1, 1, "*", 101.0, "It asks too much.")
    nobody = reckon([], [], Used(), [critical("a", 3), capped])
    assert [
        "Of 1 looping runs the policy stopped 0; others were left alone, since it may stop only so many in an hour."
    ] == (nobody.lines(60.0))
    assert (0, 1, 0, 0, None) == tuple(
        nobody.report()[name] for name in ("runs", "looping_runs", "calls", "calls_without", "delay_ms")
    )
