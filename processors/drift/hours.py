"""Levels of the hours of the last days."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .scores import MEDIAN_VARIANCE, NORMAL, middle

HOUR_MS = 3_600_000
DAY_H = 24
WEEK_H = 168
# 1970-01-01 was a Thursday: hours from then to the first Monday.
_MONDAY_H = 4 * DAY_H
LEAST_SWAY = 0.05


class Hours:
    """A level an hour, in a ring of so many days; hours count from the epoch, UTC."""

    __slots__ = ("_counts", "_days", "_levels", "_numbers")

    def __init__(self, days: int) -> None:
        self._days = days
        self._levels: npt.NDArray[np.float32] = np.full(days * DAY_H, np.nan, np.float32)
        self._numbers: npt.NDArray[np.int64] = np.full(days * DAY_H, -1, np.int64)
        self._counts: npt.NDArray[np.int32] = np.zeros(days * DAY_H, np.int32)

    def put(self, hour: int, level: float, count: int) -> None:
        """Notes a level, of so many measurements."""
        place = hour % len(self._levels)
        # What comes late must not take a newer hour's place.
        if self._numbers[place] <= hour:
            self._numbers[place], self._levels[place], self._counts[place] = hour, level, count

    def get(self, hour: int) -> float | None:
        """The level of one hour, where it is known."""
        place = hour % len(self._levels)
        return float(self._levels[place]) if self._numbers[place] == hour else None

    def count(self, hour: int) -> int:
        """How many measurements an hour that is known was told by."""
        return int(self._counts[hour % len(self._counts)])

    def known(self) -> Iterator[tuple[int, float, int]]:
        """Hours, levels and counts, in no order."""
        for place in np.flatnonzero(self._numbers >= 0):
            yield int(self._numbers[place]), float(self._levels[place]), int(self._counts[place])

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

    def sway(self, prior: float, noise: float) -> float:
        """Standard deviation of an hour's level about the median of its kind, what `noise` makes of it left out.

        Drawn towards `prior` while few hours are known.
        """
        held = self._numbers >= 0
        known = np.where(held, self._levels, np.nan).reshape(self._days, DAY_H)
        # What is usual is the median of a few days, and not known better than that.
        columns = np.count_nonzero(held.reshape(self._days, DAY_H), axis=0) >= 3
        known = known[:, columns]
        if not known.size:
            return prior
        apart = known - np.nanmedian(known, axis=0)
        apart = np.abs(apart[~np.isnan(apart)])
        # One of an hour's levels is its median itself: what is left tells of one less.
        days = len(apart) / known.shape[1]
        found = (NORMAL * float(np.median(apart))) ** 2 * days / max(days - 1, 1)
        by_chance = MEDIAN_VARIANCE * noise**2 * float(np.mean(1 / np.maximum(self._counts[held], 1)))
        weight = len(apart) / (len(apart) + DAY_H)
        sway = weight * max(found - by_chance, 0.0) + (1 - weight) * prior**2
        return max(float(sway**0.5), LEAST_SWAY)


def is_weekend(hour: int) -> bool:
    """Whether an hour (since the epoch, UTC) is of a Saturday or Sunday."""
    return (hour - _MONDAY_H) % WEEK_H >= 5 * DAY_H
