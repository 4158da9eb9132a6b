"""Times in the viewer's zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runwatch.console.widgets.when import ago, clock, span, zone_named


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW = ms("2026-11-23T15:30:00")


@pytest.mark.parametrize(
    ("at", "zone", "seen"),
    [
        ("2026-11-23T14:03:09", "UTC", "14:03:09"),
        # There it is past midnight by now.
        ("2026-11-23T14:03:09", "Asia/Tokyo", "23 Nov 23:03:09"),
        ("2026-11-22T20:00:00", "UTC", "22 Nov 20:00:00"),
        # The same day there, though not here.
        ("2026-11-22T20:00:00", "Asia/Tokyo", "23 Nov 05:00:00"),
        ("2024-01-12T00:00:00", "America/New_York", "2024-01-11 19:00:00"),
    ],
)
def test_clock(at: str, zone: str, seen: str) -> None:
    assert seen == clock(ms(at), zone_named(zone), NOW)


@pytest.mark.parametrize("name", [None, "", "Nowhere/City", "../../etc/passwd", "a\x00b", "x" * 10_000])
def test_an_unknown_zone_is_utc(name: str | None) -> None:
    assert "UTC" == zone_named(name).key


@pytest.mark.parametrize(
    ("length", "seen"),
    [(0, "0 ms"), (240, "240 ms"), (3_240, "3.2 s"), (42_000, "42 s"), (720_000, "12 min"),
     (5 * 3_600_000, "5 h"), (3 * 86_400_000, "3 d")],
)  # fmt: skip
def test_span(length: int, seen: str) -> None:
    assert seen == span(length)


def test_ago() -> None:
    assert "12 s ago" == ago(NOW - 12_000, NOW)
    assert "in 5 min" == ago(NOW + 300_000, NOW)
