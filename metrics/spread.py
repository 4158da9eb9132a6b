"""Counts by bucket, for a histogram. Pure: who counts need not know of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate


class Spread:
    """How values are spread over buckets. One thread adds, any may read."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds`: upper bounds, ascending, each within its bucket; one more without end is implied."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Counts a value; it must be a number."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[int]:
        """How many values are at or below each bound, and how many there are."""
        return list(accumulate(self.counts))
