"""The detectors over runs that others recorded: what must be found, and how much is."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runwatch.processors.backtest import backtest
from runwatch.processors.rules import Rules
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.json_form import RunOrder, from_json, parse_line

SETS = {"tau2": 612, "sweagent_gpt4": 826, "intercode": 1326}


def recorded(path: Path) -> Iterator[AgentEvent]:
    order = RunOrder()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield parse_line(line, order)


def loops(events: list[AgentEvent]) -> list[Anomaly]:
    return [one for one in backtest(events, Rules()) if one.rule.startswith("loop.")]


@pytest.mark.parametrize("name", SETS)
def test_loops_in_recorded_runs(name: str, shared_data: Path) -> None:
    events = list(recorded(shared_data / f"{name}.jsonl.gz"))
    found = loops(events)
    flagged = {one.run_id for one in found}
    stops = {one.run_id: one for one in events if one.kind == "stop"}
    good = {run for run in flagged if run is not None and _is_good(stops[run])}
    by_rule: dict[str, int] = defaultdict(int)
    for one in found:
        by_rule[one.rule] += 1
    print(f"\n{name}: {len(stops)} runs, {len(flagged)} flagged, of them {len(good)} good; {dict(by_rule)}")
    assert SETS[name] == len({one.run_id for one in events})
    # Each rule once a run.
    assert len(found) == len({(one.run_id, one.rule) for one in found})
    assert flagged <= set(stops)


def _is_good(stop: AgentEvent) -> bool:
    return stop.outcome == 1.0 if stop.outcome is not None else stop.stop_reason == "success"


def test_the_runs_that_went_on_to_the_end_of_their_patience_have_a_loop(shared_data: Path) -> None:
    events = list(recorded(shared_data / "tau2.jsonl.gz"))
    ended = {one.run_id for one in events if one.stop_reason in ("max_steps", "too_many_errors")}
    assert 6 == len(ended)
    assert ended <= {one.run_id for one in loops(events)}


def test_a_control_without_drift_has_none(shared_data: Path) -> None:
    events = recorded(shared_data / "sweagent_gpt4.jsonl.gz")
    assert [] == [one for one in backtest(events, Rules()) if one.rule == "drift.tool_calls_per_run"]


def test_the_cases_of_other_projects_on_which_all_agree(shared_data: Path) -> None:
    wrong: list[str] = []
    cases: list[dict[str, Any]] = [json.loads(line) for line in (shared_data / "loop_cases.jsonl").open()]
    for case in cases:
        order = RunOrder()
        found = bool(loops([from_json(one, order) for one in case["events"]]))
        if found != (case["expected"] == "loop"):
            wrong.append(f"{case['id']} {'settled' if case['settled'] else 'open'} {case['kind']} {case['expected']}")
    settled = [one for one in wrong if " settled " in one]
    total = sum(case["settled"] for case in cases)
    print(f"\n{total - len(settled)}/{total} settled cases right; all that differ: {wrong}")
    assert [] == settled
