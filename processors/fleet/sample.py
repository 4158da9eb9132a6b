"""How many runs, told from a few: the runs with the smallest hashes stand for all.

Unions of such samples are samples of the union, in any order, so that parts of many partitions and windows come
together without a run being counted twice. Up to `SAMPLE` runs the count is exact; beyond, it is estimated from how
dense the hashes lie (bottom-k: Bar-Yossef et al., "Counting distinct elements in a data stream", 2002), with a
standard error of some 13 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SAMPLE = 64
EXAMPLES = 3
"""Runs that are named."""
HASH_BITS = 63
"""Of a run's hash; a positive long in Avro."""

Runs = Mapping[int, str]
"""Hash of a run → its agent, or its id."""


def union(samples: Iterable[Runs]) -> dict[int, str]:
    """The sample of all runs of these samples."""
    together: dict[int, str] = {}
    for one in samples:
        together.update(one)
    if len(together) <= SAMPLE:
        return together
    return {key: together[key] for key in sorted(together)[:SAMPLE]}


def count(sample: Runs) -> int:
    """How many runs there are."""
    if len(sample) < SAMPLE:
        return len(sample)
    return max(SAMPLE, round((SAMPLE - 1) * (1 << HASH_BITS) / (max(sample) + 1)))


def examples(named: Iterable[Runs]) -> dict[int, str]:
    """The `EXAMPLES` runs with the smallest hashes of these, by hash; the same however they were parted."""
    together: dict[int, str] = {}
    for one in named:
        together.update(one)
    return {key: together[key] for key in sorted(together)[:EXAMPLES]}


def agents(sample: Runs) -> list[str]:
    """The agents of the runs in the sample."""
    return sorted(set(sample.values()))
