"""Mixes: a distance, what chance makes of it, and episodes."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwatch.processors.drift import DriftRules
from runwatch.processors.drift.mix import MOST_PARTS, MixTrack, MixTurn, by_chance, distance

from .drift_windows import DAY, MINUTE, MONDAY, told, tools, window

counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1)


def test_the_distance_of_mixes_is_a_bit_at_most() -> None:
    assert 0.0 == distance({"a": 3, "b": 1}, {"a": 30, "b": 10})
    assert 1.0 == distance({"a": 3}, {"b": 7})
    assert pytest.approx(0.0396, abs=1e-3) == distance({"a": 92, "b": 8}, {"a": 75, "b": 25})


@given(counts, counts)
@settings(max_examples=50)
def test_it_is_symmetric_and_bounded(one: dict[str, int], other: dict[str, int]) -> None:
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert -1e-12 <= distance(one, other) <= 1 + 1e-12


def test_chance_makes_as_much_of_it_as_it_says() -> None:
    chance = random.Random(1)
    mix = ("a", "b", "c", "d")
    weights = (70, 15, 10, 5)
    found = sorted(
        distance(Counter(chance.choices(mix, weights, k=100)), Counter(chance.choices(mix, weights, k=400)))
        for _ in range(2_000)
    )
    assert pytest.approx(by_chance(4, 100, 400), rel=0.15) == found[len(found) // 2] * 1.07
    assert pytest.approx(by_chance(4, 100, 400, 1.645), rel=0.15) == found[int(0.95 * len(found))]


def life(minutes: int, weights: dict[str, float], seed: int = 1, start: int = 0, runs: int = 10) -> list[Counter[str]]:
    chance = random.Random(seed)
    return [Counter(chance.choices(list(weights), list(weights.values()), k=runs)) for _ in range(minutes)]


def followed(track: MixTrack, lived: list[Counter[str]], start: int = 0) -> list[MixTurn]:
    turns = []
    for at, counted in enumerate(lived, start):
        for turn in track.add(MONDAY + at * MINUTE, MONDAY + (at + 1) * MINUTE, counted, counted.total()):
            if turn.state == "open":
                track.open(turn)
            turns.append(turn)
    return turns


USUAL = {"success": 92.0, "tool_error": 5.0, "max_steps": 3.0}
LOOPING = {"success": 70.0, "tool_error": 5.0, "max_steps": 3.0, "loop_detected": 22.0}


@pytest.mark.parametrize("seed", range(3))
def test_a_mix_that_stays_is_silent(seed: int) -> None:
    assert [] == followed(MixTrack(DriftRules()), life(2_000, USUAL, seed))


def test_another_mix_is_seen_and_its_end_too() -> None:
    track = MixTrack(DriftRules())
    assert [] == followed(track, life(200, USUAL))
    (opened,) = followed(track, life(60, LOOPING, 2), 200)
    assert ("open", "mix") == (opened.state, opened.how)
    assert MONDAY + 190 * MINUTE <= opened.onset_ms <= MONDAY + 202 * MINUTE
    assert opened.ts_ms <= MONDAY + 215 * MINUTE
    assert opened.now["loop_detected"] > 0.1 and "loop_detected" not in opened.before
    (ended,) = followed(track, life(60, USUAL, 3), 260)
    assert ("resolved", "back", opened.onset_ms) == (ended.state, ended.how, ended.onset_ms)


def test_a_mix_that_lasts_is_the_new_usual() -> None:
    track = MixTrack(DriftRules())
    turns = followed(track, [*life(200, USUAL), *life(1_600, LOOPING, 2)])
    assert [("open", "mix"), ("resolved", "accepted")] == [(one.state, one.how) for one in turns]
    assert turns[1].ts_ms >= turns[0].ts_ms + DAY
    assert [] == followed(track, life(300, LOOPING, 4), 1_800)


def test_few_runs_prove_nothing() -> None:
    track = MixTrack(DriftRules())
    followed(track, life(400, USUAL, runs=1))
    # Five runs of another mix, in five minutes.
    assert [] == followed(track, life(5, {"loop_detected": 1.0}, runs=1), 400)


def test_a_million_reasons_are_bounded() -> None:
    track = MixTrack(DriftRules())
    followed(track, [Counter({f"reason-{at}-{number}": 1 for number in range(50)}) for at in range(300)])
    assert len(track._usual) <= MOST_PARTS


def test_the_judge_names_the_reasons_that_changed_the_most_unless_success_says_it() -> None:
    def at(minute: int) -> object:
        looping = minute >= 120
        reasons = {"success": 30, "cancelled": 0 if looping else 8, "loop_detected": 8 if looping else 0}
        return window(minute, runs=38, successes=30, reasons={name: n for name, n in reasons.items() if n})

    (found,) = told(at(minute) for minute in range(150))  # type: ignore[misc]
    assert "drift.stop_reason_mix" == found.rule
    assert "Stop reasons of a have changed" in found.message and "loop_detected 0% → 21%" in found.message

    def worse(minute: int) -> object:
        failed = 20 if minute >= 120 else 2
        return window(minute, runs=40, successes=40 - failed, reasons={"success": 40 - failed, "tool_error": failed})

    assert ["drift.success"] == [one.rule for one in told(worse(minute) for minute in range(150))]  # type: ignore[misc]


def test_other_tools_than_usual_are_a_drift_of_the_agent() -> None:
    def at(minute: int) -> list[object]:
        search, fetch = (90, 10) if minute < 120 else (30, 70)
        return [window(minute, 10.0, 10), tools(minute, search=(search, 0), fetch=(fetch, 0))]

    (found,) = told(one for minute in range(150) for one in at(minute))  # type: ignore[misc]
    assert ("drift.tool_mix", None) == (found.rule, found.tool)
    assert "fetch 10% → 70%" in found.message


def test_the_distance_is_the_sum_of_two_divergences() -> None:
    one, other = {"a": 1.0, "b": 3.0}, {"a": 3.0, "b": 1.0}
    assert distance(one, other) == pytest.approx(1 - (-(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))), abs=1e-9)
