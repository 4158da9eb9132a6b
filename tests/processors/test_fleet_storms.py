"""`fleet.retries` and `fleet.timeouts`: far above the usual, for long enough, in enough calls of enough runs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from runwatch.processors.fleet import storms
from runwatch.processors.fleet.merge import Hits
from runwatch.processors.fleet.rules import StormRules
from runwatch.processors.fleet.storms import RETRIES, TIMEOUTS, StormJudge
from runwatch.schemas.anomalies import Anomaly

from .fleet import MINUTE, W0, hits, window

QUIET = [hits(100, 2, 2)] * 20
STORM = hits(100, 40, 10)
WORSE = hits(100, 80, 30)


def judged(
    windows: Iterable[dict[str, Hits] | None], rules: StormRules | None = None, kind: storms.Kind = RETRIES
) -> list[Anomaly]:
    """What windows that follow each other show; None is a minute without any."""
    judge = StormJudge(kind, rules or StormRules())
    return [
        anomaly
        for number, tools in enumerate(windows)
        if tools is not None
        for anomaly in judge.judge(window(number), tools)
    ]


def told(anomalies: list[Anomaly]) -> list[tuple[str, str, int]]:
    return [(one.state, one.severity, (one.ts_ms - W0) // MINUTE) for one in anomalies]


def test_a_storm_opens_after_it_lasted_and_is_resolved_after_it_cooled() -> None:
    found = judged([*QUIET, *[STORM] * 6, *[hits(100, 2, 2)] * 10])
    assert [("open", "warning", 23), ("resolved", "warning", 31)] == told(found)
    assert 1 == len({one.anomaly_id for one in found})
    opened = found[0]
    assert ("fleet.retries", "http.get", "agent-0") == (opened.rule, opened.tool, opened.agent)
    assert (0.4, 0.02, W0 + 20 * MINUTE) == (opened.value, opened.baseline, opened.onset_ms)
    assert (
        "http.get is retried all over the fleet: 40% of its 300 calls since 09:15 UTC were retries or answered 429 or "
        "5xx (usual: 2.0%), in 10 runs of 1 agent."
    ) == opened.message
    assert (
        "http.get: 2.0% of its calls were retries or answered 429 or 5xx of late; the trouble that began 09:15 UTC is "
        "over."
    ) == found[1].message


def test_it_escalates_once() -> None:
    found = judged([*QUIET, *[STORM] * 4, *[WORSE] * 9, *[STORM] * 3, *[WORSE] * 5])
    assert [("open", "warning", 23), ("escalated", "critical", 25)] == told(found)


def test_what_is_critical_from_the_start_opens_so() -> None:
    assert [("open", "critical", 23)] == told(judged([*QUIET, *[WORSE] * 5]))


@pytest.mark.parametrize(
    "windows",
    [
        [STORM] * 2,
        # Twice what is usual.
        [hits(100, 38, 10)] * 9,
        # In fewer runs, in fewer calls.
        [hits(100, 90, 4)] * 9,
        [hits(12, 11, 9)] * 4,
        # Now and then.
        [STORM, STORM, hits(100, 2, 2)] * 9,
    ],
)
def test_what_is_no_storm(windows: list[dict[str, Hits]]) -> None:
    usual = 19 if windows[0] == hits(100, 38, 10) else 2
    assert [] == judged([*[hits(100, usual, 2)] * 20, *windows])


def test_a_share_that_is_small_is_never_too_much() -> None:
    assert [] == judged([*[hits(1000, 1, 1)] * 20, *[hits(1000, 190, 60)] * 9])


def test_of_a_tool_that_nobody_knows_only_half_is_too_much() -> None:
    assert [] == judged([hits(100, 49, 40)] * 14)
    found = judged([hits(100, 50, 40)] * 14)
    assert [("open", "critical", 3)] == told(found)
    assert (None, False) == (found[0].baseline, "usual" in found[0].message)


def test_a_storm_does_not_become_the_usual() -> None:
    found = judged([*QUIET, *[STORM] * 200, *[hits(100, 2, 2)] * 6, *[STORM] * 5])
    assert ["open", "resolved", "open"] == [one.state for one in found]
    assert [0.02, 0.02, 0.02] == [one.baseline for one in found]
    assert found[0].anomaly_id != found[2].anomaly_id


def test_a_gap_says_nothing() -> None:
    assert [] == judged([*QUIET, STORM, *[None] * 30, STORM])


def test_time_outs_are_told_as_such() -> None:
    found = judged([*QUIET, *[STORM] * 4], kind=TIMEOUTS)
    assert ["fleet.timeouts"] == [one.rule for one in found]
    assert found[0].message.startswith(
        "http.get times out all over the fleet: 40% of its 300 calls since 09:15 UTC timed"
    )
    assert found[0].message.endswith("The trouble is upstream of the agents.")


def test_small_windows_are_no_measure() -> None:
    # None of them has the calls to say what is usual, so that half is too much.
    assert [] == judged([*[hits(9, 0)] * 60, *[STORM] * 9])


def test_tools_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storms, "MOST_TOOLS", 10)
    judge = StormJudge(RETRIES, StormRules())
    for number in range(100):
        judge.judge(window(number), {f"t{number}": Hits(1, 0, {})})
        assert judge.tracked <= 10


def test_what_is_hot_for_ever_is_not_remembered_for_ever() -> None:
    judge = StormJudge(RETRIES, StormRules(least_calls=10_000))
    for number in range(storms.MOST_HOT + 50):
        assert [] == judge.judge(window(number), hits(10, 10, 1))
    (track,) = judge._tracks.values()
    assert storms.MOST_HOT == len(track.hot)
