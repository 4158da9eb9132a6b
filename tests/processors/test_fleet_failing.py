"""`fleet.failing`: enough runs, most of such calls, one anomaly an episode."""

from __future__ import annotations

import pytest

from runwatch.processors.fleet import failing as failing_module
from runwatch.processors.fleet.failing import FailingJudge
from runwatch.processors.fleet.merge import Failing, FleetWindow
from runwatch.processors.fleet.rules import FailingRules
from runwatch.schemas.anomalies import Anomaly

from .fleet import MINUTE, W0, failing, window

RULES = FailingRules()


def judged(*windows: FleetWindow, rules: FailingRules = RULES) -> list[Anomaly]:
    judge = FailingJudge(rules)
    return [anomaly for one in windows for anomaly in judge.judge(one)]


def told(anomalies: list[Anomaly]) -> list[tuple[str, str, int]]:
    return [(one.state, one.severity, (one.ts_ms - W0) // MINUTE) for one in anomalies]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [(9, []), (10, ["warning"]), (29, ["warning"]), (30, ["critical"]), (64, ["critical"])],
)
def test_how_many_runs_it_takes(runs: int, expected: list[str]) -> None:
    assert expected == [one.severity for one in judged(window(failing=failing(runs)))]


def test_what_a_person_is_told() -> None:
    (one,) = judged(window(failing=failing(12, agents=3, worked=2)))
    assert (
        "http.get fails for 12 runs of 3 agents with the same arguments (a1) since 08:55 UTC: 12 of 14 such calls, "
        "with HTTPStatusError (runs run-0, run-1, run-2 …)."
    ) == one.message
    assert ("fleet.failing", "open", "warning") == (one.rule, one.state, one.severity)
    assert ("*", "http.get", 12.0, None) == (one.agent, one.tool, one.value, one.run_id)
    assert (W0, W0 + MINUTE) == (one.onset_ms, one.ts_ms)


def test_one_agents_trouble_is_filed_under_it() -> None:
    assert ["agent-0"] == [one.agent for one in judged(window(failing=failing(12)))]


def test_runs_come_together_over_windows_and_none_is_counted_twice() -> None:
    again = [window(number, failing=failing(6)) for number in range(8)]
    assert [] == judged(*again)
    assert [("open", "warning", 2)] == told(judged(window(0, failing=failing(6)), window(1, failing=failing(6, 4))))


def test_failures_that_lie_too_far_apart_do_not_come_together() -> None:
    assert [] == judged(window(0, failing=failing(6)), window(10, failing=failing(6, 6)))
    assert [("open", "warning", 10)] == told(judged(window(0, failing=failing(6)), window(9, failing=failing(6, 6))))


def test_a_call_that_mostly_works_is_not_broken() -> None:
    assert [] == judged(window(failing=failing(40, worked=41)))
    assert ["critical"] == [one.severity for one in judged(window(failing=failing(40, worked=40)))]


def test_it_escalates_once_and_is_resolved_once() -> None:
    windows = [window(number, failing=failing(8, first=8 * number)) for number in range(6)]
    found = judged(*windows, *(window(number) for number in range(6, 30)))
    assert [("open", "warning", 2), ("escalated", "critical", 4), ("resolved", "critical", 16)] == told(found)
    assert 1 == len({one.anomaly_id for one in found})
    assert {W0} == {one.onset_ms for one in found}
    assert (
        "http.get no longer fails for many runs with the arguments a1, as it did since 08:55 UTC." == found[-1].message
    )


def test_a_call_that_works_again_ends_the_episode() -> None:
    found = judged(window(0, failing=failing(12)), window(1, failing=failing(0, worked=100)))
    assert ["open", "resolved"] == [one.state for one in found]


def test_the_next_episode_is_another() -> None:
    found = judged(window(0, failing=failing(12)), window(20), window(21, failing=failing(12)))
    assert ["open", "resolved", "open"] == [one.state for one in found]
    assert found[0].anomaly_id == found[1].anomaly_id != found[2].anomaly_id


def test_calls_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = FailingJudge(RULES)
    judge.judge(window(0, failing={("t", str(number)): Failing(1, 1, {number: "a"}, {}, None) for number in range(50)}))
    assert 50 == judge.tracked
    monkeypatch.setattr(failing_module, "MOST_CALLS", 40)
    judge.judge(window(1, failing=failing(12)))
    assert 20 == judge.tracked
    # The one that is an episode was not among those that were forgotten.
    assert ["resolved"] == [one.state for one in judge.judge(window(30))]
    assert 0 == judge.tracked
