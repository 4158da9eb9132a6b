"""Robust scores: how far a level lies beyond its baseline, counted in what chance does by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

NORMAL = 1.4826
"""What makes a MAD the standard deviation of a normal distribution.
Source: Rousseeuw, Croux: Alternatives to the Median Absolute Deviation, JASA 88, 1993."""
_UPPER = ((0.9, 1.2816), (0.95, 1.6449))
"""So much of a normal distribution lies below so many standard deviations."""
MEDIAN_VARIANCE = 1.57
"""A median's variance beside a mean's, of a normal distribution: pi / 2."""


def middle(ordered: Sequence[float]) -> float:
    """The median of values in order, at least one."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def trimmed(ordered: Sequence[float]) -> float:
    """The mean of the middle three fifths of values in order, at least one: nearly all of a mean's precision."""
    cut = len(ordered) // 5
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def mad(ordered: Sequence[float]) -> float:
    """Median absolute deviation from the median, of values in order, at least one."""
    centre = middle(ordered)
    return middle(sorted(abs(value - centre) for value in ordered))


class Levels:
    """How measurements are summed up: of most metrics by their median, whatever a single run does."""

    def centre(self, ordered: Sequence[float]) -> float:
        """Their level, of at least one."""
        return middle(ordered)

    def noise(self, ordered: Sequence[float]) -> float:
        """Their standard deviation: by the MAD, or by the upper part where that reaches farther."""
        centre, last = middle(ordered), len(ordered) - 1
        upper = max((ordered[round(q * last)] - centre) / deviations for q, deviations in _UPPER)
        return max(NORMAL * mad(ordered), upper)


class Shares(Levels):
    """Of shares by their mean: a share of few takes few values, and its median jumps between them."""

    def __init__(self, floor: float, least: float) -> None:
        """`floor`: what levels were raised by. `least`: how much a share is measured over."""
        self._floor = floor
        self._least = least

    def centre(self, ordered: Sequence[float]) -> float:
        return math.log(sum(map(math.exp, ordered)) / len(ordered))

    def noise(self, ordered: Sequence[float]) -> float:
        values = [math.exp(level) for level in ordered]
        raised = sum(values) / len(values)
        # Chance alone makes so much of it, also where nothing was seen yet.
        share = min(max(raised - self._floor, 0.5 / self._least), 0.5)
        chance = share * (1 - share) / self._least
        seen = sum((value - raised) ** 2 for value in values) / len(values)
        return math.sqrt(max(seen, chance)) / raised


def level_score(apart: float, noise: float, sway: float, count: int, behind: int) -> float:
    """Robust z of a level that is `apart` from its baseline.

    `noise`: standard deviation of one measurement; `sway`: of an hour's level; `count`: measurements in the level;
    `behind`: those in the baseline, 0 where it is one of many days.
    """
    own = noise * noise / max(count, 1)
    base = MEDIAN_VARIANCE * noise * noise / behind if behind else 0.0
    return apart / math.sqrt(own + base + sway * sway)
