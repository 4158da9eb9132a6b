"""What is usual: the same hour of the days before, and the measurements just before.

All levels are logarithms (`Metric.level`), so that a difference is a factor and noise is relative.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .rules import DriftRules
from .scores import NORMAL, Levels, middle

HOUR_MS = 3_600_000
DAY_H = 24
WEEK_H = 168
# 1970-01-01 was a Thursday: hours from then to the first Monday.
_MONDAY_H = 4 * DAY_H
_REFRESH = 8
"""Measurements after which the noise is reckoned anew."""
_NEW = 0.25
"""What the new has to say in it."""
_UNKNOWN_NOISE = 0.5


@dataclass(frozen=True, slots=True)
class Reference:
    """What a level is held against."""

    level: float
    """The seasonal level where there is one, else the trailing one."""
    trailing: float | None
    """Median of the measurements before; None of too few."""
    noise: float
    """Standard deviation of a single measurement."""
    sway: float
    """Standard deviation of an hour's level."""
    count: int
    """How many measurements the trailing level stands on."""
    seasonal: bool


class Baseline:
    """One metric's past: trailing measurements, and an hour's median each for two weeks."""

    __slots__ = (
        *("_age", "_hour", "_noise", "_ordered", "_seasonal", "_sway", "_trailing", "_values"),
        *("hours", "levels", "rules"),
    )

    def __init__(self, rules: DriftRules, levels: Levels) -> None:
        """`levels`: how measurements are summed up."""
        self.rules = rules
        self.levels = levels
        self._trailing: deque[float] = deque()
        self._ordered: list[float] = []
        self._age = 0
        self._noise: float | None = None
        self._hour: int | None = None
        self._values: list[float] = []
        self.hours: Hours | None = None
        # Of the hour it was last asked for.
        self._seasonal: tuple[int, float | None] | None = None
        self._sway: float | None = None

    def add(self, start_ms: int, level: float) -> tuple[int, float] | None:
        """Takes the next measurement; returns the hour that it ended, if it did: its number and its median."""
        self._trailing.append(level)
        insort(self._ordered, level)
        if len(self._trailing) > self.rules.trailing_points:
            del self._ordered[bisect_left(self._ordered, self._trailing.popleft())]
        self._age += 1
        hour = start_ms // HOUR_MS
        ended = None
        if self._hour is not None and hour > self._hour:
            ended = self.end_hour()
        if self._hour is None or hour > self._hour:
            self._hour = hour
        self._values.append(level)
        return ended

    def end_hour(self) -> tuple[int, float] | None:
        """Closes the hour that is open."""
        if self._hour is None or not self._values:
            return None
        ended = (self._hour, self.levels.centre(sorted(self._values)))
        self._values.clear()
        self.put_hour(*ended)
        return ended

    def put_hour(self, hour: int, level: float, *, only_new: bool = False) -> None:
        """Notes an hour's level; `only_new`: unless it has one."""
        if self.hours is None:
            self.hours = Hours(self.rules.days)
        if not only_new or self.hours.get(hour) is None:
            self.hours.put(hour, level)
            self._seasonal = self._sway = None

    def __len__(self) -> int:
        return len(self._trailing)

    def trailing(self) -> float | None:
        """Median of the trailing measurements, where there are enough."""
        return self.levels.centre(self._ordered) if len(self._ordered) >= self.rules.least_points else None

    def noise(self) -> float:
        """Standard deviation of a measurement, by the MAD."""
        if self._noise is None or self._age >= _REFRESH:
            found = max(self.levels.noise(self._ordered), self.rules.least_noise) if self._ordered else _UNKNOWN_NOISE
            # Of few measurements it is a guess: it moves slowly once more of them are known.
            weight = 1.0 if self._noise is None or len(self._ordered) < self.rules.trailing_points else _NEW
            self._noise = found if self._noise is None else (1 - weight) * self._noise + weight * found
            self._age = 0
        return self._noise

    def seasonal(self, at_ms: int) -> float | None:
        """Median of this hour of the days before, where enough of them know it."""
        hour = at_ms // HOUR_MS
        if self._seasonal is None or self._seasonal[0] != hour:
            found = None if self.hours is None else self.hours.usual(hour, self.rules.least_days)
            self._seasonal = (hour, found)
        return self._seasonal[1]

    def reference(self, at_ms: int) -> Reference | None:
        """What is usual at this time; None while that is not known."""
        trailing, seasonal = self.trailing(), self.seasonal(at_ms)
        level = trailing if seasonal is None else seasonal
        if level is None:
            return None
        sway = self.rules.least_sway
        if seasonal is not None and self.hours is not None:
            if self._sway is None:
                self._sway = self.hours.sway(sway)
            sway = self._sway
        return Reference(level, trailing, self.noise(), sway, len(self._ordered), seasonal is not None)


class Hours:
    """Levels of the hours of the last days, in a ring."""

    __slots__ = ("_days", "_levels", "_numbers")

    def __init__(self, days: int) -> None:
        self._days = days
        self._levels: npt.NDArray[np.float32] = np.full(days * DAY_H, np.nan, np.float32)
        self._numbers: npt.NDArray[np.int32] = np.full(days * DAY_H, -1, np.int32)

    def put(self, hour: int, level: float) -> None:
        place = hour % len(self._levels)
        # What comes late must not take a newer hour's place.
        if self._numbers[place] <= hour:
            self._numbers[place], self._levels[place] = hour, level

    def get(self, hour: int) -> float | None:
        place = hour % len(self._levels)
        return float(self._levels[place]) if self._numbers[place] == hour else None

    def same(self, hour: int, since_days: int = 1) -> dict[int, float]:
        """Days before → level of the same hour of that day."""
        found = ((days, self.get(hour - days * DAY_H)) for days in range(since_days, self._days + 1))
        return {days: level for days, level in found if level is not None}

    def usual(self, hour: int, least: int, since_days: int = 1) -> float | None:
        """Median of that hour of the days before; of the same kind of day, where enough of them know it."""
        levels = self.same(hour, since_days)
        weekend = is_weekend(hour)
        alike = [level for days, level in levels.items() if is_weekend(hour - days * DAY_H) == weekend]
        if len(alike) >= least:
            return middle(sorted(alike))
        return middle(sorted(levels.values())) if len(levels) >= least else None

    def knows_day(self, hour: int) -> bool:
        """Whether this hour is known of two days of this day's kind."""
        weekend = is_weekend(hour)
        return sum(is_weekend(hour - days * DAY_H) == weekend for days in self.same(hour)) >= 2

    def sway(self, prior: float) -> float:
        """Standard deviation of an hour's level about that hour's median, drawn towards `prior` while few are known."""
        known = np.where(self._numbers >= 0, self._levels, np.nan).reshape(self._days, DAY_H)
        counts = np.count_nonzero(~np.isnan(known), axis=0)
        known = known[:, counts >= 3]
        if not known.size:
            return prior
        apart = known - np.nanmedian(known, axis=0)
        apart = np.abs(apart[~np.isnan(apart)])
        # One of an hour's levels is its median itself: what is left tells of one less.
        days = len(apart) / known.shape[1]
        found = NORMAL * float(np.median(apart)) * (days / max(days - 1, 1)) ** 0.5
        weight = len(apart) / (len(apart) + DAY_H)
        return float((weight * found**2 + (1 - weight) * prior**2) ** 0.5)


def is_weekend(hour: int) -> bool:
    """Whether an hour (since the epoch, UTC) is of a Saturday or Sunday."""
    return (hour - _MONDAY_H) % WEEK_H >= 5 * DAY_H
