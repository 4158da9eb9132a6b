"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runwatch.settings.section import LONGEST_MS, Duration, Section, parse_duration, shown_duration


class One(Section):
    wait: Duration = 5_000
    level: float = 1.0


@pytest.mark.parametrize(
    ("text", "ms"), [("90s", 90_000), ("10m", 600_000), ("1.5h", 5_400_000), ("7d", 604_800_000), (" 5 ms ", 5)]
)
def test_a_duration(text: str, ms: int) -> None:
    assert ms == parse_duration(text)


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "1 m 2", "1e3s", "10 minutes", "9" * 400 + "d", "4000d"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, LONGEST_MS))
def test_what_is_shown_is_read_as_it_was(ms: int) -> None:
    assert ms == parse_duration(shown_duration(ms))


@pytest.mark.parametrize(
    ("ms", "shown"), [(0, "0s"), (1, "1ms"), (600_000, "10m"), (5_400_000, "90m"), (86_400_000, "1d")]
)
def test_in_the_largest_unit_that_holds_it_whole(ms: int, shown: str) -> None:
    assert shown == shown_duration(ms)


def test_a_section_is_frozen_and_knows_its_settings() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        One().wait = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        One(weight=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="finite"):
        One(level=float("inf"))
    assert {"wait": "5s", "level": 1.0} == One().model_dump(mode="json")
