"""What is usual: the same hour of the days before, and the measurements just before.

All levels are logarithms (`Metric.level`), so that a difference is a factor and noise is relative.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from math import sqrt

from .hours import HOUR_MS, Hours
from .rules import DriftRules
from .scores import MEDIAN_VARIANCE, Levels, middle

TRAILING_ERRORS = 1.0
"""Standard errors that the trailing level is given before it stands beside the seasonal one."""
_REFRESH = 8
"""Measurements after which the noise is reckoned anew."""
_NEW = 0.1
"""What the new has to say in it."""
_UNKNOWN_NOISE = 0.5
_FAR_BACK = 48
_SAME_TIME_MS = 6 * HOUR_MS
_DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Reference:
    """What a level is held against."""

    level: float
    """The seasonal level where there is one, else the trailing one."""
    trailing: float | None
    """Level of the measurements before; None of too few."""
    noise: float
    """Standard deviation of a single measurement."""
    sway: float
    """Standard deviation of an hour's level."""
    count: int
    """How many measurements the trailing level stands on."""
    seasonal: bool

    @property
    def above(self) -> float:
        """The higher of what is usual by the time of day and of what was before, chance left out."""
        return self.level if self.trailing is None else max(self.level, self.trailing - self._chance)

    @property
    def below(self) -> float:
        """The lower of the two."""
        return self.level if self.trailing is None else min(self.level, self.trailing + self._chance)

    @property
    def _chance(self) -> float:
        """How far the trailing level may lie off by itself; where nothing else is known it is what there is."""
        return TRAILING_ERRORS * self.noise * sqrt(MEDIAN_VARIANCE / max(self.count, 1)) if self.seasonal else 0.0


class Baseline:
    """One metric's past: trailing measurements, and one level an hour for two weeks."""

    __slots__ = (
        *("_age", "_hour", "_learnt", "_noise", "_ordered", "_seasonal", "_starts", "_sway", "_trailing", "_values"),
        *("hours", "levels", "rules", "suspects"),
    )

    def __init__(self, rules: DriftRules, levels: Levels) -> None:
        """`levels`: how measurements are summed up."""
        self.rules = rules
        self.levels = levels
        self._trailing: deque[float] = deque()
        self._starts: deque[int] = deque()
        self._ordered: list[float] = []
        self._age = 0
        self._learnt = 0
        self._noise: float | None = None
        self._hour: int | None = None
        self._values: list[float] = []
        self.hours: Hours | None = None
        self.suspects: Hours | None = None
        """Hours that were inside of episodes."""
        # Of the hour it was last asked for.
        self._seasonal: tuple[int, float | None] | None = None
        self._sway: float | None = None

    def __len__(self) -> int:
        return len(self._trailing)

    def add(self, start_ms: int, level: float) -> tuple[int, float] | None:
        """Takes the next measurement; returns the hour that it ended, if it did: its number and its level."""
        rules = self.rules
        self._trailing.append(level)
        self._starts.append(start_ms)
        insort(self._ordered, level)
        # What is many hours old was another time of day, unless there is nothing newer.
        while len(self._trailing) > rules.trailing_points or (
            len(self._trailing) > rules.least_points and self._starts[0] < start_ms - rules.trailing_span
        ):
            self._starts.popleft()
            del self._ordered[bisect_left(self._ordered, self._trailing.popleft())]
        self._age += 1
        self._learnt += 1
        hour = start_ms // HOUR_MS
        ended = None
        if self._hour is None:
            self._hour = hour
        elif hour > self._hour:
            ended = self.end_hour()
            self._hour = hour
        self._values.append(level)
        return ended

    def end_hour(self) -> tuple[int, float] | None:
        """Closes the hour that is open."""
        if self._hour is None or not self._values:
            return None
        ended = (self._hour, self.levels.centre(sorted(self._values)))
        self.put_hour(*ended, len(self._values))
        self._values.clear()
        return ended

    def put_hour(self, hour: int, level: float, count: int) -> None:
        """Notes an hour's level, of so many measurements, unless it has one."""
        if self.hours is None:
            self.hours = Hours(self.rules.days)
        if self.hours.get(hour) is None:
            self.hours.put(hour, level, count)
            self._seasonal = self._sway = None

    def suspect(self, other: Baseline) -> None:
        """Notes the hours of an episode that is over: what was measured in it is `other`."""
        other.end_hour()
        if other.hours is None:
            return
        if self.suspects is None:
            self.suspects = Hours(self.rules.days)
        for hour, level, count in other.hours.known():
            self.suspects.put(hour, level, count)
        self._seasonal = None

    def recall(self, hour: int, level: float, count: int, *, suspect: bool) -> None:
        """Notes an hour that was stored; `suspect`: it lay in an episode. What was seen here is known better."""
        if self._hour is not None and hour >= self._hour:
            return
        if suspect:
            self.suspects = self.suspects or Hours(self.rules.days)
            self.suspects.put(hour, level, count)
            self._seasonal = None
        else:
            self.put_hour(hour, level, count)

    def trailing(self) -> float | None:
        """Level of the trailing measurements, where there are enough."""
        return self.levels.centre(self._ordered) if len(self._ordered) >= self.rules.least_points else None

    def noise(self) -> float:
        """Standard deviation of a measurement, by the MAD."""
        if self._noise is None or self._age >= _REFRESH:
            found = max(self.levels.noise(self._ordered), self.rules.least_noise) if self._ordered else _UNKNOWN_NOISE
            # Of few measurements it is a guess: it moves slowly once more of them are known.
            weight = 1.0 if self._learnt < 2 * self.rules.least_points else _NEW
            self._noise = found if self._noise is None else (1 - weight) * self._noise + weight * found
            self._age = 0
        return self._noise

    def seasonal(self, at_ms: int) -> float | None:
        """Level of this hour on the days before, where enough of them know it.

        An hour that was inside of an episode day after day, and known otherwise on too few, is like that.
        """
        hour = at_ms // HOUR_MS
        if self._seasonal is None or self._seasonal[0] != hour:
            least = self.rules.least_days
            found = None if self.hours is None else self.hours.usual(hour, least)
            if found is None and self.suspects is not None:
                levels = self.suspects.same(hour) | ({} if self.hours is None else self.hours.same(hour))
                found = middle(sorted(levels.values())) if len(levels) >= least else None
            self._seasonal = (hour, found)
        return self._seasonal[1]

    def highest(self, since_ms: int, until_ms: int, at_least: float) -> float:
        """The highest of the seasonal levels of these hours, or `at_least`."""
        hours = range(since_ms // HOUR_MS, until_ms // HOUR_MS)
        found = (self.seasonal(hour * HOUR_MS) for hour in hours[-_FAR_BACK:])
        return max([at_least, *(level for level in found if level is not None)])

    def sway(self) -> float:
        """Standard deviation of an hour's level about what is usual for it."""
        if self._sway is None:
            prior = self.rules.least_sway
            self._sway = prior if self.hours is None else self.hours.sway(prior, self.noise())
        return self._sway

    def reference(self, at_ms: int) -> Reference | None:
        """What is usual at this time; None while that is not known."""
        trailing, seasonal = self.trailing(), self.seasonal(at_ms)
        level = trailing if seasonal is None else seasonal
        if level is None:
            return None
        if seasonal is None and _SAME_TIME_MS < at_ms - self._starts[0] < _DAY_MS:
            # Half a day tells what another half of the day is like.
            return None
        sway = self.rules.least_sway if seasonal is None else self.sway()
        return Reference(level, trailing, self.noise(), sway, len(self._ordered), seasonal is not None)
