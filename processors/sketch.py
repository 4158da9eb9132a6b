"""DDSketch: quantiles with a bounded relative error from counts of logarithmic buckets.

A positive value x falls into bucket ceil(log_gamma(x)), gamma = (1 + a) / (1 - a) with a the relative error,
and a bucket's estimate is 2 gamma^key / (gamma + 1), which is within a of everything in it. Values of zero or
below share one bucket of their own; what is not finite has none. Buckets of two sketches add up, so partial
sketches merge across partitions, windows and groups.

Source: Masson, Rim, Lee: DDSketch, PVLDB 12(12), 2019.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import TypeVar

import polars as pl

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
LOG_GAMMA = math.log(GAMMA)
_LOG_CENTRE = math.log(2 / (GAMMA + 1))
_LOG_MOST = math.log(sys.float_info.max)
ZERO_KEY = -(2**31)
"""Key of the bucket of values that are zero or below."""


def key_of(value: float) -> int | None:
    """The bucket of a value; None where it is not finite."""
    if not math.isfinite(value):
        return None
    return math.ceil(math.log(value) / LOG_GAMMA) if value > 0 else ZERO_KEY


def keys_of(values: pl.Expr) -> pl.Expr:
    """The buckets of a column; null where the value is null or not finite. Int32."""
    return (
        # Polars orders NaN above everything, infinity too.
        pl.when(values.is_between(0, sys.float_info.max, closed="right"))
        .then((values.cast(pl.Float64).log() / LOG_GAMMA).ceil())
        .when(values.is_between(-sys.float_info.max, 0))
        .then(float(ZERO_KEY))
        .cast(pl.Int32)
    )


def value_of(key: int) -> float:
    """A bucket's estimate: within `RELATIVE_ERROR` of every value that falls into it."""
    if key == ZERO_KEY:
        return 0.0
    # In logarithms: the last bucket's end is beyond what a float holds.
    return math.exp(min(key * LOG_GAMMA + _LOG_CENTRE, _LOG_MOST))


Key = TypeVar("Key")


def merge(sketches: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    """The sketch of all the values of these sketches: key → count."""
    total: dict[Key, int] = {}
    for one in sketches:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return total


def quantile(sketch: Mapping[int, int], q: float) -> float | None:
    """Estimate of the q-quantile, 0 <= q <= 1 (lower rank: the value of rank floor(q (n - 1))); None where empty."""
    count = sum(sketch.values())
    if not count:
        return None
    rank = math.floor(q * (count - 1))
    seen = 0
    for key in sorted(sketch):
        seen += sketch[key]
        if seen > rank:
            return value_of(key)
    raise AssertionError("counts are not negative")  # the loop returns: seen reaches count > rank
