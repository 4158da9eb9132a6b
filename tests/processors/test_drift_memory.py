"""What a judge is told of the time before it: a worker that begins anew goes on where the one before it was."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Any

import pytest

from runwatch.config import Settings
from runwatch.processors.drift import DriftJudge, DriftRules
from runwatch.processors.drift.memory import Hour, Memory, Past
from runwatch.processors.recall import Recalled, ended, hours_of
from runwatch.processors.recollection import Recollection
from runwatch.processors.windows import METRICS, SUMS
from runwatch.schemas.anomalies import Anomaly
from runwatch.schemas.errors import RunwatchError

from .drift_windows import DAY, HOUR, MINUTE, MONDAY, series, told, tools, window

RULE = "drift.tool_calls_per_run"
HOUR_0 = MONDAY // HOUR


def stored(found: list[Anomaly]) -> list[Past]:
    """The episodes as ClickHouse would give them: the latest state of each."""
    latest = {one.anomaly_id: one for one in found}
    opened = {one.anomaly_id: one.ts_ms for one in reversed(found)}
    return [Past(one, opened[one.anomaly_id]) for one in latest.values()]


def days_of(level: float, days: int, metric: str = "tool_calls_per_run") -> list[Hour]:
    """So many days before Monday, each hour at that level."""
    return [Hour(HOUR_0 - at, {metric: (level, 12)}) for at in range(1, 24 * days + 1)]


def remembering(hours: dict[str, list[Hour]], episodes: list[Past]) -> DriftJudge:
    memory = Memory()
    memory.fill(hours, episodes)
    return DriftJudge(DriftRules(), memory)


def test_stored_hours_are_a_baseline_from_the_first_window_on() -> None:
    found = told(series((20, 9.0)), remembering({"a": days_of(math.log(4.0), 7)}, []))
    assert [RULE] == [one.rule for one in found]
    assert "the usual 4 at this hour" in found[0].message
    assert [] == told(series((20, 9.0)), remembering({"b": days_of(math.log(4.0), 7)}, []))


def test_hours_within_stored_episodes_are_not() -> None:
    memory = Memory()
    episode = Anomaly("id", RULE, "resolved", "warning", MONDAY - 5 * HOUR, MONDAY - 10 * HOUR, "a", 4.0, "m")
    memory.fill({"a": days_of(1.0, 1)}, [Past(replace(episode, baseline=4.0), MONDAY - 9 * HOUR)])
    suspects = {
        hour - HOUR_0 for hour, _, _, suspect in memory.hours_of("a", "tool_calls_per_run", DriftRules()) if suspect
    }
    assert set(range(-10, -5)) == suspects


def test_a_level_that_was_accepted_is_the_usual_one_and_what_was_before_it_is_gone() -> None:
    memory = Memory()
    episode = Anomaly(
        "id", RULE, "resolved", "critical", MONDAY - HOUR, MONDAY - 30 * HOUR, "a", 9.0, "m", baseline=4.0
    )
    memory.fill({"a": days_of(1.0, 3)}, [Past(episode, MONDAY - 29 * HOUR)])
    left = list(memory.hours_of("a", "tool_calls_per_run", DriftRules()))
    assert (30, False) == (len(left), any(suspect for *_, suspect in left))


LIFE = series((60, 4.0), (100, 9.0), (30, 4.0))


@pytest.mark.parametrize("begins", [65, 75, 100, 130, 162, 170])
def test_a_worker_that_begins_anew_goes_on_with_an_episode(begins: int) -> None:
    def of_rule(found: list[Anomaly]) -> list[tuple[str, str]]:
        return [(one.anomaly_id, one.state) for one in found if one.rule == RULE]

    expected = of_rule(told(LIFE))
    assert ["open", "escalated", "resolved"] == [state for _, state in expected]
    before = told(LIFE[:begins])
    # The replay begins in the middle of the episode: of what was usual it knows only what was stored.
    judge = remembering({"a": days_of(math.log(4.0), 7)}, stored(before))
    told(LIFE[begins - 40 : begins], judge)
    after = told(LIFE[begins:], judge)
    assert expected == [*of_rule(before), *of_rule(after)]


def test_an_episode_that_the_replay_finds_by_itself_keeps_its_stored_id() -> None:
    before = told(LIFE[:100])
    # As found by a worker that knew a little more: it began a minute earlier.
    other = [replace(one, anomaly_id="stored", onset_ms=one.onset_ms - MINUTE) for one in before]
    after = told(LIFE[20:], remembering({}, stored(other)))
    assert "stored" == after[-1].anomaly_id and "resolved" == after[-1].state


def test_a_tools_episode_is_gone_on_with_and_ends_when_the_tool_is_used_no_more() -> None:
    episode = Anomaly("id", "drift.error_rate", "open", "warning", MONDAY, MONDAY - HOUR, "a", 0.5, "m", baseline=0.02)
    judge = remembering({}, [Past(replace(episode, tool="get"), MONDAY)])
    assert [] == told([window(5), tools(5, get=(20, 10))], judge)
    found = told([window(5 + at) for at in range(1, 80)], judge)
    assert [("id", "resolved", "get")] == [(one.anomaly_id, one.state, one.tool) for one in found]


# -- reading it --------------------------------------------------------------------------------------


def row(**given: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(SUMS, 0) | {f"{name}_count": 0 for name in METRICS}
    return values | {f"{name}_p95": None for name in METRICS} | {"agent": "a", "hour": 7} | given


def test_an_hours_levels() -> None:
    rules = DriftRules()
    (hour,) = hours_of(
        [row(run_tool_calls_sum=400, run_tool_calls_count=100, run_ms_count=40, run_ms_p95=900.0)], rules
    )["a"]
    assert 7 == hour.hour
    assert (math.log(4.0), 20) == hour.levels["tool_calls_per_run"]
    assert (math.log(900.0), 2) == hour.levels["latency_p95"]
    assert set() == {"success", "tokens_per_request", "spend_per_good_outcome"} & set(hour.levels)


def test_the_end_of_an_orphan_is_the_same_whoever_says_it() -> None:
    episode = Anomaly("id", RULE, "escalated", "critical", MONDAY, MONDAY - HOUR, "a", 9.0, "m", baseline=4.0)
    one = ended(episode, {"a": MONDAY + HOUR})
    assert ("id", "resolved", MONDAY + HOUR) == (one.anomaly_id, one.state, one.ts_ms)
    assert one == ended(episode, {"a": MONDAY + HOUR})


SETTINGS = Settings(clickhouse="http://127.0.0.1:9")


def test_what_was_read_is_remembered_and_orphans_are_ended() -> None:
    memory = Memory()
    orphan = Anomaly("id", RULE, "resolved", "warning", MONDAY, MONDAY, "gone", 9.0, "m")
    read = lambda *_: Recalled({"a": days_of(1.0, 1)}, [], [orphan])  # noqa: E731
    assert [orphan] == asyncio.run(Recollection(SETTINGS, DriftRules(), memory, read).refresh())
    assert (1, 24) == (memory.edition, len(memory.hours["a"]))


def test_without_clickhouse_all_goes_on_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()
    memory.fill({"a": days_of(1.0, 1)}, [])

    async def twice() -> list[list[Anomaly]]:
        recollection = Recollection(SETTINGS, DriftRules(), memory)
        return [await recollection.refresh(), await recollection.refresh()]

    assert [[], []] == asyncio.run(twice())
    (line,) = caplog.messages
    assert line.startswith("ClickHouse does not answer at http://127.0.0.1:9")
    assert line.endswith("Drift goes by what this worker has seen itself until then.")
    # What was known stays.
    assert (1, ["a"]) == (memory.edition, list(memory.hours))


def test_nothing_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwatch.processors.recollection.WAIT_S", 0.05)

    def read(*_: object) -> Recalled:
        time.sleep(0.5)
        raise RunwatchError("too late")

    async def wait() -> tuple[float, list[Anomaly]]:
        recollection = Recollection(SETTINGS, DriftRules(), Memory(), read)
        await recollection.settled()
        reading = asyncio.ensure_future(recollection.refresh())
        await asyncio.sleep(0)
        began = time.monotonic()
        await recollection.settled()
        waited = time.monotonic() - began
        # One reading at a time.
        assert [] == await recollection.refresh()
        return waited, await reading

    waited, found = asyncio.run(wait())
    assert ([], True) == (found, 0.04 < waited < 0.4)


def test_a_past_that_ended_is_not_taken_up() -> None:
    past = stored(told(LIFE))
    assert [True] == [not one.is_open for one in past]
    assert [] == Memory(episodes={"a": past}).open_of("a")
    assert not past[0].is_accepted(DriftRules())
    late = replace(past[0].anomaly, ts_ms=past[0].anomaly.onset_ms + 2 * DAY, value=9.0)
    assert Past(late, 0).is_accepted(DriftRules())
