"""Runs are put where Kafka's own clients put them."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from runwatch.processors.partitioner import partitions_of

# From Kafka's own UtilsTest.testMurmur2, as unsigned numbers.
VECTORS = {
    "21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}  # fmt: skip


@pytest.mark.parametrize(("key", "expected"), VECTORS.items())
def test_kafkas_own_vectors(key: str, expected: int) -> None:
    assert (expected & 0x7FFFFFFF) % 1_000_003 == partitions_of([key], 1_000_003)[0]


@given(st.lists(st.text(max_size=40)), st.integers(1, 64))
def test_as_another_client_has_it(keys: list[str], partitions: int) -> None:
    assert [(murmur2(key.encode()) & 0x7FFFFFFF) % partitions for key in keys] == partitions_of(
        keys, partitions
    ).tolist()
