"""Medians, spreads and quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median, median_low

Figures = dict[str, float | int]
"""A figure's name ends with its unit: `events_per_s`, `p50_ms`, `peak_rss_mib`."""


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest of the values that at least the part `q` of them does not exceed (nearest rank).

    No interpolation: what is said to be the 99th percentile was measured. Raises `ValueError` where there
    are none.
    """
    if not values or not 0 <= q <= 1:
        raise ValueError("a quantile is of one value or more, and between 0 and 1")
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def delays(values_s: Sequence[float], name: str) -> Figures:
    """Half, 99 % and the whole of some delays: seconds in, milliseconds out."""
    ms = [1000 * value for value in values_s]
    return {
        f"{name}_p50_ms": round(quantile(ms, 0.5), 1),
        f"{name}_p99_ms": round(quantile(ms, 0.99), 1),
        f"{name}_max_ms": round(max(ms), 1),
        f"{name}_probes": len(ms),
    }


def together(repeats: Iterable[Mapping[str, float]], spread: Iterable[str] = ("events_per_s",)) -> Figures:
    """The median of each figure over the repeats; of those in `spread` the lowest and the highest too."""
    rows = list(repeats)
    wanted = set(spread)
    out: Figures = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        # A count stays a count.
        middle = median_low if all(isinstance(value, int) for value in values) else median
        out[name] = rounded(middle(values))
        if name in wanted and len(rows) > 1:
            out[f"{name}_min"], out[f"{name}_max"] = rounded(min(values)), rounded(max(values))
    return out


def rounded(value: float) -> float | int:
    """Four digits that count; whole numbers stay whole."""
    if isinstance(value, int) or not math.isfinite(value) or value == 0:
        return value
    digits = 3 - math.floor(math.log10(abs(value)))
    return round(value, digits) if digits > 0 else round(value)
