"""The scoring of loop rules on recorded runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwatch.bench.peers.loop_rules import LOOP_RULES, first_alert
from runwatch.bench.recorded import (
    SETS,
    RecordedRuns,
    by_run,
    flagged_at,
    is_good,
    read,
    read_cases,
    score,
    score_cases,
)
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.events import AgentEvent


def event(run: str, seq: int, kind: str = "tool_result", **fields: object) -> AgentEvent:
    return AgentEvent(f"{run}-{seq}", run, seq, kind, 1_000 * seq, "a", **fields)  # type: ignore[arg-type]


def a_set() -> RecordedRuns:
    good = [event("good", seq) for seq in range(4)] + [event("good", 4, "stop", outcome=1.0)]
    bad = [event("bad", seq) for seq in range(8)] + [event("bad", 8, "stop", outcome=0.5)]
    spent = [event("spent", seq) for seq in range(2)] + [event("spent", 2, "stop", stop_reason="max_steps")]
    return RecordedRuns("made up", [*good, *bad, *spent])


def anomaly(run: str, offset: int, severity: str = "critical") -> Anomaly:
    return Anomaly(
        "id", "loop.repeat", "open", severity, 0, 0, "a", 4.0, "…", run_id=run, source_offset=offset  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("good", "fields"),
    [
        (True, {"outcome": 1.0, "stop_reason": "max_steps"}),
        (False, {"outcome": 0.99, "stop_reason": "success"}),
        (True, {"stop_reason": "success"}),
        (False, {"stop_reason": "submitted (exit_cost)"}),
    ],
)
def test_good_is_what_was_solved_or_handed_in_unjudged(good: bool, fields: dict[str, object]) -> None:
    assert good == is_good(event("r", 0, "stop", **fields))


def test_saved_are_the_calls_after_the_alert_of_all_calls_of_bad_runs() -> None:
    figures = score(a_set(), {"good": 1, "bad": 2})
    assert {
        "flagged": 2,
        "good_flagged": 1,
        "saved_pct": 50.0,
        "exhausted": 1,
        "exhausted_found": 0,
    } == figures


def test_a_run_is_flagged_at_its_first_critical_anomaly() -> None:
    found = [anomaly("bad", 6, "warning"), anomaly("bad", 10), anomaly("bad", 9), anomaly("spent", 14, "warning")]
    assert {"bad": 4} == flagged_at(a_set(), found)
    assert {"bad": 1, "spent": 0} == flagged_at(a_set(), found, "warning")


# What the recorded runs' own README says of each rule: flagged, of them good, saved; settled cases right.
TOLD = {
    "OpenHands": ((11, 3, 21.4), (26, 25, 0.3), (462, 1, 28.7), 22),
    "Gemini CLI": ((9, 1, 21.1), (20, 14, 4.6), (371, 1, 17.4), 24),
    "Roo Code": ((10, 2, 21.4), (33, 26, 5.6), (399, 1, 22.6), 17),
    "LangSight": ((19, 6, 22.6), (110, 96, 9.8), (537, 2, 33.1), 17),
    "Cline": ((9, 1, 21.1), (20, 14, 4.6), (367, 1, 17.4), 21),
}


@pytest.mark.parametrize(("place", "name"), list(enumerate(SETS)))
def test_the_peers_figures_are_those_that_are_known(place: int, name: str, shared_data: Path) -> None:
    runs = read(shared_data, name)
    for peer, told in TOLD.items():
        alerts = {run: first_alert(LOOP_RULES[peer], calls) for run, calls in runs.calls.items()}
        figures = score(runs, {run: at for run, at in alerts.items() if at is not None})
        assert told[place][:2] == (figures["flagged"], figures["good_flagged"]), peer
        # 21.046 % is told as 21.1 there.
        assert told[place][2] == pytest.approx(figures["saved_pct"], abs=0.11), peer


def test_the_peers_settled_cases_are_those_that_are_known(shared_data: Path) -> None:
    cases = read_cases(shared_data)
    for peer, told in TOLD.items():
        loops = [
            any(first_alert(LOOP_RULES[peer], calls) is not None for calls in by_run(case.events)) for case in cases
        ]
        figures = score_cases(cases, loops)
        assert (24, told[3], 16) == (figures["settled"], figures["settled_right"], figures["others"]), peer
