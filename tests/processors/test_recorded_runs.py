"""The loop rules over runs that others recorded: what they must find, and what they must leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwatch.bench.recorded import Case, RecordedRuns, flagged_at, read, read_cases, score
from runwatch.processors.backtest import backtest
from runwatch.processors.rules import Rules
from runwatch.schemas.anomalies import Anomaly

RUNS = {"tau2": 612, "sweagent_gpt4": 826, "intercode": 1326}


def judged(runs: RecordedRuns) -> list[Anomaly]:
    return list(backtest(iter(runs.events), Rules()))


@pytest.mark.parametrize(
    ("name", "most_good", "least_saved"), [("tau2", 2, 21.4), ("sweagent_gpt4", 7, 0.3), ("intercode", 1, 30.0)]
)
def test_loops_in_recorded_runs(name: str, most_good: int, least_saved: float, shared_data: Path) -> None:
    runs = read(shared_data, name)
    assert RUNS[name] == len(runs.stops)
    found = judged(runs)
    worth = score(runs, flagged_at(runs, found))
    assert most_good >= worth["good_flagged"]
    assert least_saved <= worth["saved_pct"]
    if name == "tau2":
        assert (6, 6) == (worth["exhausted"], worth["exhausted_found"])
    # Of each rule a run is told once, and once more when it gets worse.
    told = [(one.run_id, one.rule, one.severity) for one in found if one.run_id]
    assert len(told) == len(set(told))


def test_a_control_without_drift_has_none(shared_data: Path) -> None:
    runs = read(shared_data, "sweagent_gpt4")
    assert [] == [one for one in judged(runs) if one.rule == "drift.tool_calls_per_run"]


@pytest.mark.parametrize("severities", [("critical",), ("warning", "critical")])
def test_the_cases_of_other_projects(severities: tuple[str, ...], shared_data: Path) -> None:
    cases = read_cases(shared_data)
    wrong = [case for case in cases if case.is_loop != _is_found(case, severities)]
    assert [] == [case.name for case in wrong if case.settled]
    assert 4 >= len(wrong)


def _is_found(case: Case, severities: tuple[str, ...]) -> bool:
    found = backtest(iter(case.events), Rules())
    return any(one.severity in severities for one in found if one.rule.startswith("loop."))
