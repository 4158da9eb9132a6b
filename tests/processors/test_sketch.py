"""Quantiles against the exact answer; sketches add up."""

from __future__ import annotations

import math
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.processors.sketch import RELATIVE_ERROR, ZERO_KEY, key_of, keys_of, merge, quantile, value_of

RANDOM = np.random.default_rng(7)
DISTRIBUTIONS = {
    "uniform": RANDOM.uniform(1, 1000, 5000),
    "normal": RANDOM.normal(500, 20, 5000),
    "lognormal": RANDOM.lognormal(3, 2, 5000),
    "pareto": RANDOM.pareto(1.1, 5000) + 1,
    "exponential": RANDOM.exponential(0.001, 5000),
    "two humps": np.concatenate([RANDOM.normal(10, 1, 2500), RANDOM.normal(10_000, 100, 2500)]),
    "whole numbers": RANDOM.integers(1, 20, 5000).astype(float),
    "one value": np.full(100, 42.0),
    "mostly zero": np.concatenate([np.zeros(4000), RANDOM.uniform(1, 2, 1000)]),
    "one": np.array([3.5]),
}
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**62), 2**62).map(float)


def sketch_of(values: list[float]) -> dict[int, int]:
    return merge({key: 1} for value in values if (key := key_of(value)) is not None)


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_are_within_the_relative_error(name: str, q: float) -> None:
    values = DISTRIBUTIONS[name]
    exact = float(np.quantile(values, q, method="lower"))
    estimate = quantile(sketch_of(values.tolist()), q)
    assert estimate is not None
    # Rounding may move a value at a bucket's edge into its neighbour: a hair more than the error itself.
    assert abs(estimate - exact) <= (RELATIVE_ERROR + 1e-9) * abs(exact)


@given(st.lists(numbers | st.none() | st.sampled_from([math.nan, math.inf, -math.inf])))
def test_a_column_and_its_values_have_the_same_buckets(values: list[float | None]) -> None:
    expected = [None if value is None else key_of(value) for value in values]
    frame = pl.DataFrame({"v": values}, schema={"v": pl.Float64})
    found = frame.select(key=keys_of(pl.col("v")))["key"]
    assert pl.Int32 == found.dtype
    # The last bit of a logarithm may differ between two libraries, which moves a value at a bucket's edge.
    for want, have in zip(expected, found.to_list(), strict=True):
        assert want == have or (want is not None and have is not None and abs(want - have) == 1)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()))
def test_a_column_of_whole_numbers_has_buckets_too(values: list[int | None]) -> None:
    frame = pl.DataFrame({"v": values}, schema={"v": pl.Int64})
    found = frame.select(key=keys_of(pl.col("v")))["key"].to_list()
    assert [None if value is None else key_of(value) for value in values] == pytest.approx(found, abs=1)


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, -1e300, -5e-324])
def test_zero_and_below_share_a_bucket(value: float) -> None:
    assert ZERO_KEY == key_of(value)
    assert 0.0 == value_of(ZERO_KEY)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_bucket(value: float) -> None:
    assert key_of(value) is None
    assert [None] == pl.DataFrame({"v": [value]}).select(key=keys_of(pl.col("v")))["key"].to_list()


@given(st.floats(min_value=1e-300, max_value=sys.float_info.max))
def test_a_buckets_estimate_is_near_all_that_falls_into_it(value: float) -> None:
    key = key_of(value)
    assert key is not None
    assert abs(value_of(key) - value) <= (RELATIVE_ERROR + 1e-6) * value


sketches = st.dictionaries(st.integers(-50, 50), st.integers(1, 1000))


@given(sketches, sketches, sketches)
def test_sketches_add_up_in_any_order(one: dict[int, int], two: dict[int, int], three: dict[int, int]) -> None:
    expected = merge([one, two, three])
    assert expected == merge([merge([one, two]), three])
    assert expected == merge([one, merge([three, two])])


@given(st.lists(st.floats(0.001, 1e6), min_size=1), st.integers(0, 100), st.floats(0, 1))
def test_a_merged_sketch_is_the_sketch_of_everything(values: list[float], place: int, q: float) -> None:
    whole = sketch_of(values)
    parts = merge([sketch_of(values[:place]), sketch_of(values[place:])])
    assert whole == parts
    assert quantile(whole, q) == quantile(parts, q)


def test_an_empty_sketch_has_no_quantiles() -> None:
    assert quantile({}, 0.5) is None
    assert {} == merge([])
