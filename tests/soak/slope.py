"""What a run of samples says of a process: how it grows, and whether that is flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SETTLING = 1 / 3
"""The first part of the time is not judged: caches, pools and state fill."""
LEAST_MINUTES = 30.0
"""Of less time a slope is told and not judged: an allocator's steps look like growth."""
RSS_SHARE_PER_HOUR = 0.10
RSS_MIB_PER_HOUR = 24.0
HANDLES_PER_HOUR = 10.0
"""What still counts as flat: so much of the mean, or so much; the larger of the two."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at a moment."""

    at_s: float
    rss_mib: float
    handles: int
    threads: int


@dataclass(frozen=True, slots=True)
class Trend:
    """What it came to. Slopes are of the time after settling, per hour."""

    first_mib: float
    last_mib: float
    most_mib: float
    mib_per_hour: float
    handles: int
    handles_per_hour: float
    threads: int
    minutes: float

    @property
    def fault(self) -> str | None:
        """Why it is not flat; None where it is, or where the time was too short to tell."""
        if self.minutes < LEAST_MINUTES:
            return None
        if self.mib_per_hour > max(RSS_MIB_PER_HOUR, RSS_SHARE_PER_HOUR * (self.first_mib + self.last_mib) / 2):
            return f"its memory grows by {self.mib_per_hour:.0f} MiB an hour"
        if self.handles_per_hour > HANDLES_PER_HOUR:
            return f"its open files grow by {self.handles_per_hour:.0f} an hour"
        return None


def trend(samples: Sequence[Sample]) -> Trend:
    """Of two samples at least, oldest first."""
    began_s, ended_s = samples[0].at_s, samples[-1].at_s
    settled = [one for one in samples if one.at_s >= began_s + SETTLING * (ended_s - began_s)]
    return Trend(
        first_mib=settled[0].rss_mib,
        last_mib=settled[-1].rss_mib,
        most_mib=max(one.rss_mib for one in samples),
        mib_per_hour=3600 * slope([(one.at_s, one.rss_mib) for one in settled]),
        handles=settled[-1].handles,
        handles_per_hour=3600 * slope([(one.at_s, one.handles) for one in settled]),
        threads=settled[-1].threads,
        minutes=(ended_s - began_s) / 60,
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line with the least squares through (x, y); 0.0 where all have one x."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
