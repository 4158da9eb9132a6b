"""A leak is told from noise, from filling up, and from too short a look."""

from __future__ import annotations

import random

import pytest

from .slope import Sample, slope, trend

HOUR_S = 3600


def samples(rss: object, handles: object = lambda _: 50, minutes: int = 60) -> list[Sample]:
    return [Sample(at, rss(at / HOUR_S), handles(at / HOUR_S), 10) for at in range(0, minutes * 60 + 1, 10)]  # type: ignore[operator]


def test_a_line_s_slope() -> None:
    assert 2.0 == pytest.approx(slope([(0, 1), (1, 3), (2, 5)]))
    assert 0.0 == slope([(1, 1), (1, 5)])


def test_what_is_flat_but_noisy_is_flat() -> None:
    rng = random.Random(1)
    found = trend(samples(lambda _: 200 + rng.gauss(0, 15)))
    assert found.fault is None
    assert abs(found.mib_per_hour) < 10


def test_what_fills_up_in_the_beginning_is_flat() -> None:
    found = trend(samples(lambda hours: min(400, 100 + 2000 * hours)))
    assert (None, 400, 0.0) == (found.fault, found.most_mib, pytest.approx(found.mib_per_hour))


def test_a_leak_is_told() -> None:
    found = trend(samples(lambda hours: 200 + 60 * hours))
    assert 60 == pytest.approx(found.mib_per_hour)
    assert "its memory grows by 60 MiB an hour" == found.fault


def test_handles_that_are_never_closed_are_told() -> None:
    assert "its open files grow by 120 an hour" == trend(samples(lambda _: 200, lambda hours: round(120 * hours))).fault


def test_too_short_a_look_judges_nothing() -> None:
    found = trend(samples(lambda hours: 200 + 600 * hours, minutes=5))
    assert (None, 600) == (found.fault, pytest.approx(found.mib_per_hour))
