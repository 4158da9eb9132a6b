"""What is usual where too few days are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runwatch.console.ask.fleet import Filter, Span
from runwatch.console.ask.span import HOUR_MS
from runwatch.console.ask.trailing import fleet_with_usual, level_of
from runwatch.console.ask.trouble import open_incidents

from .incident_store import Stored, stored, tell


def test_a_level_is_the_median_and_what_minutes_sway_about_it() -> None:
    low, middle, high = level_of("spend", [4.0, 5.0, 5.0, 5.0, 6.0] * 2) or (0.0, 0.0, 0.0)
    assert (5.0, 0.25) == (middle, round(high - middle, 6))
    assert 0.25 == round(middle - low, 6)
    low, middle, high = level_of("spend", [4.0, 4.0, 5.0, 6.0, 6.0] * 2) or (0.0, 0.0, 0.0)
    assert (5.0, round(3 * 1.4826, 6)) == (middle, round(high - middle, 6))


def test_shares_end_at_one_and_nothing_goes_below_nothing() -> None:
    low, _, high = level_of("success", [0.2, 0.9, 0.9, 1.0, 0.5] * 3) or (0.0, 0.0, 0.0)
    assert 1.0 == high
    assert 0.0 <= low


def test_what_was_not_there_yet_is_not_usual() -> None:
    assert (4.75, 5.0, 5.25) == level_of("runs", [0.0] * 40 + [5.0] * 10)


@pytest.mark.parametrize("values", [[], [1.0] * 9, [0.0] * 60])
def test_too_little_is_no_level(values: list[float]) -> None:
    assert level_of("runs", values) is None


@pytest.fixture(scope="module")
def story(stack: Any) -> Iterator[Stored]:
    with stored(stack) as found:
        tell(found)
        yield found


@pytest.mark.stack
def test_the_hour_before_the_trouble_is_usual_and_the_trouble_is_not(story: Stored) -> None:
    series = fleet_with_usual(story.reader, Span(story.now_ms - 2 * HOUR_MS, story.now_ms), Filter("support"))
    usual = series.baseline["tool_calls_mean"]
    assert {4.0} == set(usual.middle)
    assert len(series.starts_ms) == len(usual.low)
    values = dict(zip(series.starts_ms, series.lines["tool_calls_mean"], strict=True))
    high = usual.high[0]
    assert high is not None
    assert all(value > high for start, value in values.items() if value and start >= story.onset_ms + 5 * 60_000)


@pytest.mark.stack
def test_a_span_of_days_has_no_level(story: Stored) -> None:
    assert {} == fleet_with_usual(story.reader, Span(story.now_ms - 7 * 24 * HOUR_MS, story.now_ms), Filter()).baseline


@pytest.mark.stack
def test_an_agents_open_incidents_are_those_that_go_on(story: Stored) -> None:
    """Its three loops are over: their runs have stopped."""
    found = open_incidents(story.reader)["support"]
    assert (1, 1, "critical") == (found.open, found.critical, found.severity)
    assert {} == open_incidents(story.reader, "nobody")
