"""Times and lengths of time, in words and in the viewer's zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE_COOKIE: Final = "runwatch_zone"


def zone_named(name: str | None) -> ZoneInfo:
    """The zone of that IANA name, as browsers tell theirs; UTC where it is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def clock(at_ms: int, zone: ZoneInfo, now_ms: int) -> str:
    """A time of day, with the date where it is not today's: `14:03:09`, `12 Nov 14:03:09`, `2024-01-12 14:03:09`."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone)
    if at.date() == today.date():
        return f"{at:%H:%M:%S}"
    return f"{at.day} {at:%b %H:%M:%S}" if at.year == today.year else f"{at:%Y-%m-%d %H:%M:%S}"


def ago(at_ms: int, now_ms: int) -> str:
    """How long before now: `12 s ago`, `in 5 min`."""
    gone = now_ms - at_ms
    return f"{span(gone)} ago" if gone >= 0 else f"in {span(-gone)}"


def span(ms: float) -> str:
    """A length of time to two or three figures: `240 ms`, `3.2 s`, `12 min`, `5 h`, `3 d`."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    seconds = ms / 1_000
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"
