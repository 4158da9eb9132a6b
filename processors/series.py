"""Any history of numbers under the eyes of the drift judge: how unusual each point is, by what came before it alone.

A point is held against the baselines that metrics of agents are held against: the measurements just before, and the
same hour of the days before; and so is the level of the last few, which sees what no single point shows. How many
times its noise a series leaves its baseline by itself differs much from one to the next, so that distance is in its
turn held against the distances that the same series had before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

from .drift.baseline import Baseline
from .drift.rules import DriftRules
from .drift.scores import Levels, level_score, middle

THRESHOLD = 0.5
"""A point with this score, or a higher one, is an anomaly."""
RARE = 0.998
"""Quantile of the distances before that the next one is held against: two points in a thousand lie further out."""
FURTHER = 1.1
"""So many times as far out as that is an anomaly."""
LEVEL_POINTS = 5
"""Points that make a level."""
LEAST_DISTANCES = 100
"""Of fewer nobody can tell what is rare: twice the score that opens an episode stands for it."""
MOST_DISTANCES = 4_000
AGAIN = 3
"""For so many lengths of the trailing baseline a point that lies no further out than one before says nothing new."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a point comes to."""

    score: float
    """From 0 to 1."""

    @property
    def is_anomaly(self) -> bool:
        return self.score >= THRESHOLD


class SeriesJudge:
    """Scores points one after the other, each by itself and by those before it."""

    def __init__(self, rules: DriftRules) -> None:
        self.rules = rules
        self._first: list[tuple[int, float]] = []
        self._unit: float | None = None
        self._point = _Distance(rules)
        self._level = _Distance(rules)
        # Points that are not yet in the baseline which levels are held against.
        self._latest: deque[tuple[int, float]] = deque()
        # Scores of late, those that can be the highest: falling.
        self._high: deque[tuple[int, float]] = deque()
        self._seen = 0

    def add(self, ts_ms: int, value: float) -> Scored:
        """The next point. Raises `ValueError` for a value that is no finite number."""
        if not abs(value) < float("inf"):
            raise ValueError(f"a point is a finite number, and this is {value}")
        if self._unit is None:
            return self._begin(ts_ms, value)
        return Scored(self._said(self._score(ts_ms, value / self._unit)))

    def _begin(self, ts_ms: int, value: float) -> Scored:
        """The first points tell how large values are: noise is reckoned as a part of that."""
        self._first.append((ts_ms, value))
        if len(self._first) >= self.rules.least_points:
            sizes = sorted(abs(value) for _, value in self._first)
            self._unit = middle(sizes) or sizes[-1] or 1.0
            for at_ms, one in self._first:
                self._score(at_ms, one / self._unit)
            self._first.clear()
        return Scored(0.0)

    def _score(self, ts_ms: int, value: float) -> float:
        rare = self._point.of(ts_ms, value, 1)
        self._point.baseline.add(ts_ms, value)
        self._latest.append((ts_ms, value))
        if len(self._latest) == LEVEL_POINTS:
            level = middle(sorted(value for _, value in self._latest))
            rare = max(rare, self._level.of(ts_ms, level, LEVEL_POINTS))
            self._level.baseline.add(*self._latest.popleft())
        return rare / (rare + FURTHER)

    def _said(self, score: float) -> float:
        """The score, halved where a point shortly before had as high a one: that is said already."""
        since = self._seen - AGAIN * self.rules.trailing_points
        self._seen += 1
        while self._high and self._high[0][0] < since:
            self._high.popleft()
        is_new = not self._high or score > self._high[0][1]
        while self._high and self._high[-1][1] <= score:
            self._high.pop()
        self._high.append((self._seen, score))
        return score if is_new else score / 2


class _Distance:
    """How far from a baseline, beside how far it was before."""

    def __init__(self, rules: DriftRules) -> None:
        self.baseline = Baseline(rules, Levels())
        self._rules = rules
        self._latest: deque[float] = deque()
        self._ordered: list[float] = []

    def of(self, ts_ms: int, level: float, count: int) -> float:
        """The distance of a level of so many points, as a multiple of what is rare; 0 without a baseline."""
        distance = self._distance(ts_ms, level, count)
        known = len(self._ordered)
        rare = 2 * self._rules.score
        if known >= LEAST_DISTANCES:
            rare = max(self._ordered[min(known - 1, int(RARE * known))], 1.0)
        insort(self._ordered, distance)
        self._latest.append(distance)
        if len(self._latest) > MOST_DISTANCES:
            del self._ordered[bisect_left(self._ordered, self._latest.popleft())]
        return distance / rare

    def _distance(self, ts_ms: int, level: float, count: int) -> float:
        """In standard deviations; 0 for what is usual either by the hour or by what came before."""
        usual = self.baseline.reference(ts_ms)
        if usual is None:
            return 0.0
        aparts = [level - usual.level, level - (usual.level if usual.trailing is None else usual.trailing)]
        if min(aparts) < 0 < max(aparts):
            return 0.0
        return level_score(min(map(abs, aparts)), usual.noise, 0.0, count, 0)
