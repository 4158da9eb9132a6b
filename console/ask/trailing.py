"""What is usual where too few days are known for that: what the last hour before any trouble was like.

As drift is judged (`processors/drift/baseline.py`) a new agent is held against the time just before. A level, not a
course of the day: so it is told for spans of hours alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ...sinks.query import Reader
from .fleet import Band, Filter, FleetSeries, Span, fleet_series
from .span import HOUR_MS, LENGTHS_MS
from .standing import episodes
from .usual import about_median

LONGEST_MS: Final = LENGTHS_MS["6h"]
LEAST_POINTS: Final = 10
DEVIATIONS: Final = 3.0
"""So many standard deviations lie within the band on either side: single minutes sway more than hours."""

_BEGAN: Final = f"""
SELECT min(onset_ms) AS onset_ms FROM ({episodes()})
WHERE family IN ('drift', 'fleet') AND level >= 2 AND (is_open OR latest_ms >= {{from_ms:Int64}})
  AND ({{agent:String}} = '' OR agent IN ({{agent:String}}, '*'))
"""


def fleet_with_usual(reader: Reader, span: Span, only: Filter) -> FleetSeries:
    """`fleet_series`, and where that knows nothing usual, the hour before the trouble began. Raises `StoreError`."""
    series = fleet_series(reader, span, only)
    if span.length_ms > LONGEST_MS or series.stored_from_ms is None or series.baseline.keys() >= series.lines.keys():
        return series
    began = reader.rows(_BEGAN, from_ms=span.from_ms, agent=only.agent or "")[0]["onset_ms"]
    end = min(began or span.to_ms, span.to_ms)
    quiet = fleet_series(reader, Span(end - HOUR_MS, end), only)
    points = len(series.starts_ms)
    found = dict(series.baseline)
    for name, values in quiet.lines.items():
        since = [
            value
            for start, value in zip(quiet.starts_ms, values, strict=True)
            # The minute in which it began is of both.
            if value is not None and start + quiet.step_ms <= end and start >= (quiet.stored_from_ms or 0)
        ]
        if name not in found and (level := level_of(name, since)) is not None:
            low, middle, high = level
            found[name] = Band([low] * points, [middle] * points, [high] * points)
    return replace(series, baseline=found)


def level_of(name: str, values: Sequence[float]) -> tuple[float, float, float] | None:
    """Low, middle and high; None of too few values. What is nothing at first was not there yet."""
    first = next((at for at, value in enumerate(values) if value), len(values))
    values = values[first:]
    if len(values) < LEAST_POINTS:
        return None
    return about_median(name, values, DEVIATIONS)
