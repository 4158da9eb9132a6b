"""Incidents as lines, and one of them whole, of a real ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runwatch.console.ask.causes import Cause
from runwatch.console.ask.incident import Incident, incident
from runwatch.console.ask.incidents import (
    Counts,
    IncidentLine,
    Wanted,
    count_open,
    incidents,
    line_of,
    members,
    newest_ms,
    single,
)
from runwatch.console.ask.now import now

from .incident_store import MINUTE_MS, Stored, stored, tell

pytestmark = pytest.mark.stack
HOSTILE = "<img src=x onerror=alert(1)>'; DROP TABLE anomalies_stored -- \u202e\x00{agent:String}"


@pytest.fixture
def its(stack: Any) -> Iterator[Stored]:
    with stored(stack) as found:
        yield found


@pytest.fixture(scope="module")
def story(stack: Any) -> Iterator[Stored]:
    """The whole story, told once."""
    with stored(stack) as found:
        tell(found)
        yield found


def ids(lines: list[IncidentLine]) -> list[str]:
    return [line.anomaly_id for line in lines]


def test_nothing_is_stored(its: Stored) -> None:
    assert [] == incidents(its.reader, Wanted()).lines
    assert Counts(critical=0, open=0) == count_open(its.reader)
    assert 0 == newest_ms(its.reader)
    assert single(its.reader, "nobody's") is None
    assert incident(its.reader, "nobody's", its.now_ms) is None
    found = now(its.reader, its.now_ms)
    assert ([], 0, True) == (found.wrong, found.agents, found.is_empty)


def test_a_drift_is_open_until_it_is_resolved(its: Stored) -> None:
    its.anomaly("d1", "drift.success")
    its.anomaly("d1", "drift.success", state="escalated", severity="critical", ts=its.onset_ms + MINUTE_MS, value=2.0)
    its.anomaly("d2", "drift.latency_p95")
    its.anomaly("d2", "drift.latency_p95", state="resolved", ts=its.onset_ms + MINUTE_MS, message="It is over.")
    lines = {line.anomaly_id: line for line in incidents(its.reader, Wanted()).lines}
    assert (True, "critical", 2.0) == (lines["d1"].is_open, lines["d1"].severity, lines["d1"].value)
    assert (False, "It is over.") == (lines["d2"].is_open, lines["d2"].sentence)
    assert its.onset_ms + MINUTE_MS == lines["d1"].latest_ms
    assert its.onset_ms == lines["d1"].opened_ms
    assert ["d1", "d2"] == list(lines)
    assert Counts(critical=1, open=1) == count_open(its.reader)


def test_a_loop_is_open_while_its_run_is_under_way(its: Stored) -> None:
    for number, agent in enumerate(("going", "stopped", "silent", "young")):
        its.anomaly(
            f"l{number}", "loop.repeat", run_id=f"r{number}", agent=agent, tool="t",
            stored_ago_s=5 if agent == "young" else 600,
        )  # fmt: skip
    its.event("r0", 1, "tool_result", its.now_ms, stored_ago_s=20)
    its.event("r1", 1, "tool_result", its.now_ms, stored_ago_s=20)
    its.event("r1", 2, "stop", its.now_ms, stored_ago_s=10)
    its.event("r2", 1, "tool_result", its.now_ms, stored_ago_s=3700)
    found = {line.agent: line.is_open for line in incidents(its.reader, Wanted()).lines}
    assert {"going": True, "stopped": False, "silent": False, "young": True} == found


def test_what_the_policy_says_of_itself_is_over_in_an_hour(its: Stored) -> None:
    its.anomaly("p1", "policy.capped", stored_ago_s=3700)
    its.anomaly("p2", "policy.capped", stored_ago_s=3500)
    assert {"p1": False, "p2": True} == {
        line.anomaly_id: line.is_open for line in incidents(its.reader, Wanted()).lines
    }


def test_loops_close_in_time_are_one_line(its: Stored) -> None:
    for number, minute in enumerate((0, 14, 28, 44, 44)):
        its.anomaly(
            f"l{number}", "loop.repeat" if number else "loop.cycle", run_id=f"r{min(number, 3)}", tool="t",
            ts=its.onset_ms + minute * MINUTE_MS, severity="critical" if number == 1 else "warning",
        )  # fmt: skip
    its.anomaly("other-tool", "loop.repeat", run_id="r9", tool="u")
    its.anomaly("other-agent", "loop.repeat", run_id="r10", tool="t", agent="billing")
    its.anomaly("no-loop", "drift.success", tool="t")
    found = incidents(its.reader, Wanted(), "newest").lines
    groups = [line for line in found if line.is_group]
    assert 5 == len(found)
    last, first = groups
    assert (2, 1, "warning") == (last.episodes, last.runs, last.severity)
    assert (3, 3, "critical") == (first.episodes, first.runs, first.severity)
    assert "3 runs of support loop in t: same call again and again 2, calls go round in a cycle 1." == first.sentence
    assert "l1" == first.anomaly_id
    assert {"loop.repeat": 2, "loop.cycle": 1} == first.rules
    assert (its.onset_ms, its.onset_ms + 28 * MINUTE_MS) == (first.opened_ms, first.latest_ms)
    assert ["l1", "l2", "l0"] == ids(members(its.reader, first))
    assert ["l1"] == ids(members(its.reader, first, limit=1))
    loop = single(its.reader, "l2")
    assert loop is not None
    assert first == line_of(its.reader, loop)


def test_the_worst_come_first_or_the_newest(its: Stored) -> None:
    its.anomaly("info", "drift.fall", severity="info", ts=its.onset_ms + 3 * MINUTE_MS)
    its.anomaly("warning", "drift.success", ts=its.onset_ms + 2 * MINUTE_MS)
    its.anomaly("critical", "drift.latency_p95", severity="critical", ts=its.onset_ms + MINUTE_MS)
    its.anomaly("fleet", "fleet.retries", severity="critical", agent="*", tool="t")
    its.anomaly("over", "drift.success", agent="billing")
    its.anomaly("over", "drift.success", agent="billing", state="resolved", ts=its.now_ms)
    assert ["fleet", "critical", "warning", "info", "over"] == ids(incidents(its.reader, Wanted(), "worst").lines)
    assert ["info", "warning", "critical", "fleet", "over"] == ids(incidents(its.reader, Wanted(), "newest").lines)


def test_filters(its: Stored) -> None:
    its.anomaly("a", "drift.success", agent="support", severity="info")
    its.anomaly("b", "fleet.retries", agent="*", tool="http.get", severity="critical")
    its.anomaly("c", "loop.error", agent="coder", tool="bash", run_id="r")
    its.anomaly("d", "of.another.release", agent="coder", ts=its.now_ms, onset=its.now_ms)

    def found(**wanted: Any) -> list[str]:
        return sorted(ids(incidents(its.reader, Wanted(**wanted)).lines))

    assert ["a", "b", "c", "d"] == found()
    assert ["a"] == found(agent="support")
    assert ["b"] == found(agent="*")
    assert ["b"] == found(tool="http.get")
    assert ["c"] == found(rule="loop.*")
    assert ["c"] == found(rule="loop.error")
    assert ["d"] == found(rule="of.another.release")
    assert [] == found(rule="of.yet.another")
    assert ["b"] == found(severity="critical")
    assert ["b", "c", "d"] == found(severity="warning")
    assert ["c"] == found(is_open=False)
    assert ["a", "b", "d"] == found(is_open=True)
    assert ["a", "b", "d"] == found(since_ms=its.onset_ms + 1)
    assert ["a", "b", "c"] == found(until_ms=its.now_ms)


def test_pages_are_bounded_and_know_how_many_there_are(its: Stored) -> None:
    for number in range(7):
        its.anomaly(f"d{number}", "drift.success", ts=its.onset_ms + number)
    first = incidents(its.reader, Wanted(), "newest", limit=3)
    assert (7, ["d6", "d5", "d4"]) == (first.total, ids(first.lines))
    assert ["d0"] == ids(incidents(its.reader, Wanted(), "newest", limit=3, offset=6).lines)
    assert 7 == len(incidents(its.reader, Wanted(), limit=1_000_000).lines)
    assert 1 == len(incidents(its.reader, Wanted(), limit=0).lines)


def test_names_of_any_kind_are_data(its: Stored) -> None:
    its.anomaly("h", "loop.repeat", agent=HOSTILE, tool=HOSTILE, run_id=HOSTILE, message=HOSTILE)
    its.anomaly("i", "loop.repeat", agent=HOSTILE, tool=HOSTILE, run_id="r2")
    (line,) = incidents(its.reader, Wanted(agent=HOSTILE, tool=HOSTILE)).lines
    assert (HOSTILE, 2) == (line.agent, line.episodes)
    assert 2 == len(members(its.reader, line))
    assert [] == incidents(its.reader, Wanted(agent="' OR 1 = 1 --")).lines
    found = incident(its.reader, "h", its.now_ms)
    assert found is not None
    assert HOSTILE == found.line.sentence


def test_what_is_new_is_known_by_one_number(its: Stored) -> None:
    its.anomaly("a", "drift.success", stored_ago_s=60)
    before = newest_ms(its.reader)
    its.anomaly("b", "drift.success", stored_ago_s=1)
    assert before < newest_ms(its.reader)


# -- one of them, whole --------------------------------------------------------------------------------


def whole(story: Stored, anomaly_id: str) -> Incident:
    found = incident(story.reader, anomaly_id, story.now_ms)
    assert found is not None
    return found


def test_the_likely_cause_is_said(story: Stored) -> None:
    causes = whole(story, "drift-1").causes
    assert [
        Cause(
            "version",
            "Version 1.4.3 of support was first seen as the trouble began; 15 runs so far.",
            story.onset_ms,
            "support",
            "1.4.3",
        ),
        Cause("attempts", "Calls of http.get are tried up to 5 times now (before: up to 1).", tool="http.get"),
        Cause(
            "failing",
            "43% of the 105 calls of http.get fail (before: 0%), mostly with HTTPStatusError 429.",
            tool="http.get",
        ),
    ] == causes


def test_a_loop_has_the_cause_of_those_like_it(story: Stored) -> None:
    found = whole(story, "loop-2")
    assert story.onset_ms == found.around.onset_ms
    assert ["version", "attempts", "failing"] == [cause.kind for cause in found.causes]


def test_the_evidence_is_the_rules_metric_around_the_onset(story: Stored) -> None:
    its = whole(story, "drift-1").evidence
    assert ("Tool calls a run · support", "count", True, 4.0) == (its.title, its.measured, its.is_own, its.baseline)
    assert MINUTE_MS == its.step_ms
    by_start = dict(zip(its.starts_ms, its.values, strict=True))
    assert 4.0 == by_start[story.onset_ms - MINUTE_MS]
    assert 10.0 == by_start[story.onset_ms]
    assert (4.0, 4.0) == (its.usual_low, its.usual_high)
    # What is not stored is a gap, not nothing.
    assert by_start[story.onset_ms - 45 * MINUTE_MS] is None


def test_a_loop_stands_on_its_calls_and_leads_to_its_run(story: Stored) -> None:
    found = whole(story, "loop-1")
    assert [(1, 1, "HTTPStatusError"), (2, 2, "HTTPStatusError"), (3, 3, "HTTPStatusError")] == [
        (call.seq, call.attempt, call.error) for call in found.calls
    ]
    (run,) = found.runs
    assert ("r-new-1", "1.4.3", 7, 4, 3, 4, "success", 1) == (
        run.run_id, run.agent_version, run.calls, run.repeats, run.errors, run.retries, run.stop_reason, run.loops,
    )  # fmt: skip
    assert [("run:r-new-1", "stop", True)] == [(each.scope, each.mode, each.is_of_this) for each in found.done.commands]


def test_a_drifts_runs_are_those_that_loop_and_call_most(story: Stored) -> None:
    found = whole(story, "drift-1")
    assert {"r-new-0", "r-new-1", "r-new-2"} == {run.run_id for run in found.runs[:3]}
    assert all(run.run_id.startswith("r-new") for run in found.runs)
    assert 3 == found.done.runs_stopped
    assert 3 == found.done.total


def test_how_runs_stop_before_and_since(story: Stored) -> None:
    shifts = {shift.reason: (shift.before, shift.since, shift.runs) for shift in whole(story, "drift-1").stops}
    assert {"success": (0.9, 0.6, 120), "loop_detected": (0.0, 0.4, 80), "gave_up": (0.1, 0.0, 0)} == shifts


def test_what_else_was_wrong(story: Stored) -> None:
    (others,) = whole(story, "drift-1").others
    assert (3, "loop.failing") == (others.episodes, others.rule)
    assert ["drift-1"] == [line.anomaly_id for line in whole(story, "loop-0").others if not line.is_group]


def test_what_is_wrong_now(story: Stored) -> None:
    found = now(story.reader, story.now_ms)
    (wrong,) = found.wrong
    assert ("drift-1", "1.4.3", "loop_detected") == (wrong.line.anomaly_id, wrong.version, wrong.stop_reason)
    assert (0.4, 0.0) == (wrong.stop_share, wrong.stop_before)
    assert not found.is_empty
