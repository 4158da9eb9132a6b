"""What is usual at an hour: the median of that hour of the days before, and how far they lie about it.

Simpler than what drift is judged by (`processors/drift/baseline.py`): hours that lay in episodes are not left out,
there is no trailing level, and the spread is that of whole hours, which single minutes exceed by chance. As there, an
hour is held against the same kind of day (weekend or not) where enough of them know it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from weakref import WeakKeyDictionary

from ...sinks.query import Reader
from .cells import Asked, Frontier, totals
from .measures import MEASURES, minutes_of
from .span import DAY_MS, HOUR_MS, Dimension

KEPT_S = 60.0
"""How long an answer holds: a page asks every few seconds, and days that are over hardly change."""
_MOST_KEPT = 100
DAYS = 14
LEAST_DAYS = 3
DEVIATIONS = 2.0
"""So many standard deviations lie within the band on either side."""
_NORMAL = 1.4826
"""What makes a median absolute deviation the standard deviation of a normal distribution."""
_LEAST_SPREAD = 0.05
"""Part of the middle that the band reaches to either side at the least."""
_SHARES = ("retries", "errors", "success")
_MONDAY_MS = 4 * DAY_MS
"""1970-01-01 was a Thursday: from then to the first Monday."""


@dataclass(frozen=True, slots=True)
class Band:
    """What is usual, a value a step; None where too few days are known."""

    low: list[float | None]
    middle: list[float | None]
    high: list[float | None]


def usual(
    reader: Reader,
    starts: Sequence[int],
    step: int,
    given: Mapping[Dimension, str],
    known: Frontier,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Band]:
    """The bands of every line of which any is known. Raises `StoreError`."""
    coarse = max(step, HOUR_MS)
    if DAY_MS % coarse:
        return {}
    places = [start // coarse * coarse for start in starts]
    key = (min(places), max(places), coarse, *sorted(given.items()))
    # A reader is for one thread at a time, and so is what is kept for it.
    kept = _KEPT.setdefault(reader, {})
    at, by_place = kept.get(key, (0.0, None))
    if by_place is None or clock() - at > KEPT_S:
        by_place = _by_place(reader, {*places}, coarse, given, known)
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = (clock(), by_place)
    return {
        name: Band(*([(bands[place] or _UNKNOWN)[part] for place in places] for part in range(3)))
        for name, bands in by_place.items()
    }


_Edges = tuple[float, float, float]
_UNKNOWN = (None, None, None)
_KEPT: WeakKeyDictionary[Reader, dict[Hashable, tuple[float, dict[str, dict[int, _Edges | None]] | None]]] = (
    WeakKeyDictionary()
)


def _by_place(
    reader: Reader, places: set[int], coarse: int, given: Mapping[Dimension, str], known: Frontier
) -> dict[str, dict[int, _Edges | None]]:
    """Low, middle and high of each line at each of these hours."""
    # Nothing of the last day is asked: what is usual is told by the days before.
    end = max(places) - DAY_MS + coarse
    hours = sorted({place // HOUR_MS % 24 for place in places}) if coarse == HOUR_MS else None
    asked = Asked(min(places) - DAYS * DAY_MS, end, coarse, given, hours=hours)
    rows = {row["start_ms"]: row for row in totals(reader, asked, known)}
    found: dict[str, dict[int, _Edges | None]] = {}
    minutes = minutes_of(0, coarse)
    for name, measure in MEASURES.items():
        values = {start: value for start, row in rows.items() if (value := measure.value(row, minutes)) is not None}
        bands = {place: band_of(name, levels_before(place, values)) for place in places}
        if any(band is not None for band in bands.values()):
            found[name] = bands
    return found


def levels_before(place_ms: int, values: Mapping[int, float]) -> list[float]:
    """The values of the same hour of the days before: of the same kind of day, where enough of them know it."""
    before = [place_ms - days * DAY_MS for days in range(1, DAYS + 1)]
    known = [at for at in before if at in values]
    alike = [values[at] for at in known if is_weekend(at) == is_weekend(place_ms)]
    return alike if len(alike) >= LEAST_DAYS else [values[at] for at in known]


def band_of(name: str, levels: Sequence[float]) -> tuple[float, float, float] | None:
    """Low, middle and high of these; None of too few."""
    if len(levels) < LEAST_DAYS:
        return None
    return about_median(name, levels, DEVIATIONS)


def about_median(name: str, values: Sequence[float], deviations: float) -> tuple[float, float, float]:
    """Low, middle and high: the median, and so many robust standard deviations to either side, at least 5 %.

    `name`: of a line; shares end at 1. `values` must not be empty.
    """
    middle = median(values)
    spread = _NORMAL * median(abs(value - middle) for value in values)
    reach = max(deviations * spread, _LEAST_SPREAD * abs(middle))
    high = middle + reach
    return max(middle - reach, 0.0), middle, min(high, 1.0) if name in _SHARES else high


def is_weekend(at_ms: int) -> bool:
    """Whether it is Saturday or Sunday, UTC."""
    return (at_ms - _MONDAY_MS) % (7 * DAY_MS) >= 5 * DAY_MS
