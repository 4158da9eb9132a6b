"""The part `detection`: what counts as seen and as wrong, and that the real judge sees and keeps silent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runwatch.bench import recorded
from runwatch.bench.detection import chosen
from runwatch.bench.errors import BenchError
from runwatch.bench.incidents.history import history
from runwatch.bench.incidents.judged import judged
from runwatch.bench.incidents.scenarios import LIBRARY, START_MS, Scenario
from runwatch.bench.incidents.verdict import Verdict, episodes, quiet_days, verdicts
from runwatch.bench.options import Options
from runwatch.bench.run import PARTS, run
from runwatch.processors.rules import Rules
from runwatch.schemas.anomalies import Anomaly

ARTICLE, GAPS, OUTAGE = LIBRARY["article"], LIBRARY["gaps"], LIBRARY["outage"]


def anomaly(
    agent: str,
    hours: float,
    rule: str = "drift.tool_calls_per_run",
    *,
    state: str = "open",
    severity: str = "warning",
    name: str | None = None,
    run_id: str | None = None,
    tool: str | None = None,
) -> Anomaly:
    ts_ms = START_MS + round(hours * 3_600_000)
    return Anomaly(
        anomaly_id=name or f"{rule} {agent} {run_id} {hours}",
        rule=rule,
        state=state,  # type: ignore[arg-type]
        severity=severity,  # type: ignore[arg-type]
        ts_ms=ts_ms,
        onset_ms=ts_ms,
        agent=agent,
        value=2.0,
        message="…",
        run_id=run_id,
        tool=tool,
    )


def told(scenario: Scenario, *anomalies: Anomaly, looping: frozenset[str] = frozenset()) -> Verdict:
    return verdicts([scenario], episodes(anomalies), looping)[scenario.name]


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_seen_is_by_a_rule_that_can_after_the_onset_and_in_time() -> None:
    onset = ARTICLE.onset_h or 0.0
    verdict = told(
        ARTICLE,
        anomaly("research", onset + 0.05, "drift.outcome"),
        anomaly("research", onset + 0.15, "drift.latency_p95"),
        anomaly("research", onset + 0.18),
        anomaly("research", onset + 3, "drift.spend_per_run"),
    )
    assert (True, 9.0, ("drift.latency_p95", "drift.tool_calls_per_run"), ()) == (
        verdict.seen,
        verdict.delay_min,
        verdict.rules,
        verdict.wrong,
    )


def test_late_is_not_seen_and_its_delay_is_told() -> None:
    verdict = told(ARTICLE, anomaly("research", (ARTICLE.onset_h or 0) + 0.25))
    assert (False, 15.0) == (verdict.seen, verdict.delay_min)


def test_before_the_onset_it_is_wrong() -> None:
    verdict = told(ARTICLE, anomaly("research", (ARTICLE.onset_h or 0) - 0.1))
    assert (False, None, 1) == (verdict.seen, verdict.delay_min, len(verdict.wrong))


def test_long_after_its_end_it_is_wrong() -> None:
    over = OUTAGE.over_h or 0.0
    verdict = told(OUTAGE, anomaly("outage", over + 0.5), anomaly("outage", over + 2))
    assert [over + 2] == [one.hours for one in verdict.wrong]


def test_an_episode_counts_once_and_info_not_at_all() -> None:
    verdict = told(
        GAPS,
        anomaly("gaps", 1, name="a", severity="info"),
        anomaly("gaps", 2, name="b"),
        anomaly("gaps", 3, name="b", state="escalated", severity="critical"),
        anomaly("gaps", 4, name="b", state="resolved"),
        anomaly("gaps", 5, name="c", severity="info"),
        anomaly("gaps", 6, name="c", state="escalated"),
    )
    assert [2.0, 6.0] == [one.hours for one in verdict.wrong]


def test_loops_of_runs_that_were_made_to_loop_are_right() -> None:
    verdict = told(
        GAPS,
        anomaly("gaps", 1, "loop.repeat", run_id="made"),
        anomaly("gaps", 1, "loop.repeat", run_id="not made"),
        looping=frozenset({"made"}),
    )
    assert ["not made"] == [one.run_id for one in verdict.wrong]


def test_a_huge_run_may_be_called_that_and_a_learning_time_is_not_judged() -> None:
    assert () == told(LIBRARY["huge runs"], anomaly("huge", 40, "loop.runaway", run_id="r")).wrong
    assert () == told(LIBRARY["night batches"], anomaly("batches", 30)).wrong
    assert 1 == len(told(LIBRARY["night batches"], anomaly("batches", 200)).wrong)


def test_what_is_said_of_a_fleet_is_its_tools() -> None:
    both = verdicts([ARTICLE, GAPS], episodes([anomaly("", 203, "fleet.retries", tool="http.get")]))
    assert [("fleet.retries",), ()] == [both[one.name].rules for one in (ARTICLE, GAPS)]


def test_quiet_time_is_what_is_judged_and_not_the_incident() -> None:
    assert 8 + 10.5 / 24 == pytest.approx(quiet_days(ARTICLE))
    assert 9 - 3 / 24 == pytest.approx(quiet_days(OUTAGE))
    assert 90 == quiet_days(LIBRARY["a month"])
    assert 14 - 7.5 == quiet_days(LIBRARY["night batches"])
    assert 3 == pytest.approx(quiet_days(LIBRARY["new agents"]), abs=0.1)


# -- the real judge ----------------------------------------------------------------------------------------------------


def test_two_incidents_are_seen_and_two_quiet_histories_are_quiet() -> None:
    names = ("article", "outage", "gaps", "traffic x 10")
    # Their last days: the incidents and the quiet ones' troubles are in them.
    short = [replace(LIBRARY[name], days=10) for name in names]
    found = episodes(judged(history(short, first_day=8), Rules(), stretch_ms=3_600_000))
    # Loops of single runs have tests of their own.
    by_name = verdicts(short, [one for one in found if one.run_id is None])
    assert {"article": True, "outage": True} == {name: by_name[name].seen for name in names[:2]}
    assert [] == [(one.rule, one.agent, one.hours) for name in names for one in by_name[name].wrong]


def test_frames_and_stretches_change_nothing() -> None:
    short = [replace(LIBRARY["article"], days=9)]
    ways = [
        sorted(
            (one.anomaly_id, one.state, one.ts_ms)
            for one in judged(history(short, first_day=8), Rules(), stretch_ms=stretch_ms)
        )
        for stretch_ms in (300_000, 3_600_000)
    ]
    assert ways[0]
    assert ways[0] == ways[1]


# -- the part ----------------------------------------------------------------------------------------------------------


def test_it_runs_without_servers_and_tells_figures(tmp_path: Path) -> None:
    assert not PARTS["detection"].needs_servers
    told: list[str] = []
    (result,) = run(
        ["detection"],
        Options(scenarios=("new agents",), folder=tmp_path / "nowhere"),
        tell=lambda what, _: told.append(what),
    )
    assert not any("Kafka" in text for text in told)
    line = json.loads(result.line())
    assert {"part", "figures", "peers", "machine", "quiet"} <= line.keys()
    assert ("detection", 0, 0) == (line["part"], line["figures"]["real"], line["figures"]["real_seen"])
    assert 3.0 == pytest.approx(line["figures"]["quiet_agent_days"], abs=0.1)
    assert ["new agents"] == [row["ordinary life"] for row in line["quiet"]]


def test_a_scenario_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(BenchError, match="no scenario 'storm'; there are: article, creep"):
        chosen(["storm"])
    assert list(LIBRARY.values()) == chosen([])


def test_recorded_runs_are_found_or_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNWATCH_RECORDED", raising=False)
    monkeypatch.setattr(recorded, "__file__", str(tmp_path / "repository" / "bench" / "recorded.py"))
    assert recorded.find_folder(None) is None
    beside = tmp_path / "shared" / "data"
    beside.mkdir(parents=True)
    for name in (*(f"{one}.jsonl.gz" for one in recorded.SETS), recorded.CASES):
        (beside / name).touch()
    assert beside == recorded.find_folder(None)
    (tmp_path / "else").mkdir()
    monkeypatch.setenv("RUNWATCH_RECORDED", str(tmp_path / "else"))
    with pytest.raises(BenchError, match=r"else has no tau2\.jsonl\.gz"):
        recorded.find_folder(None)
    assert beside == recorded.find_folder(beside)
