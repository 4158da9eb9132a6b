"""How often something held in a row, for many runs at once: vectors in, vectors out.

Calls come sorted by run, in the run's order. What went on before is carried in the run's row, so that the
result is the same however a run's calls are cut into frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..runs import I64, RING, Mask, RunTable

U32 = npt.NDArray[np.uint32]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Runs:
    """Which run each of the sorted calls belongs to, and which of its calls it is."""

    rows: I64
    """The runs' rows in the table, each once."""
    starts: I64
    """Place of each run's first call."""
    lengths: I64
    which: I64
    """Per call: its run's place in `rows`."""
    start: I64
    """Per call: place of its run's first."""
    ordinal: I64
    """Per call: how many calls the run made before it."""
    slots: I64
    """Per run and place of its ring: ordinal of the call that stands there; below 0 where there is none."""

    @classmethod
    def of(cls, table: RunTable, row: I64) -> Runs:
        """`row`: per call, sorted."""
        first = np.r_[True, row[1:] != row[:-1]]
        starts = np.flatnonzero(first)
        lengths = np.diff(np.r_[starts, len(row)])
        which = np.cumsum(first) - 1
        rows, start = row[starts], starts[which]
        made = table.calls[rows]
        last = made[:, None] - 1
        slots = last - (last - np.arange(RING)) % RING
        return cls(rows, starts, lengths, which, start, made[which] + np.arange(len(row)) - start, slots)

    @property
    def ends(self) -> I64:
        """Place of each run's last call."""
        ends: I64 = self.starts + self.lengths - 1
        return ends


def streak(held: Mask, runs: Runs, carried: npt.NDArray[np.integer]) -> I64:
    """Per call: how often in a row something held, this call the last. `carried`: per run, up to the call before."""
    place = np.arange(len(held))
    broken = np.maximum.accumulate(np.where(held, -1, place))
    here = place - np.maximum(broken, runs.start - 1)
    through = broken < runs.start
    count: I64 = here + np.where(through, carried[runs.which].astype(np.int64), 0)
    return count


def total(value: npt.NDArray[np.generic], runs: Runs, carried: npt.NDArray[np.integer]) -> I64:
    """Per call: the sum of the run's values up to it."""
    added = np.cumsum(value, dtype=np.int64)
    before = np.where(runs.starts > 0, added[runs.starts - 1], 0)
    sums: I64 = added + (carried.astype(np.int64) - before)[runs.which]
    return sums


def lagged(values: npt.NDArray[T], ring: npt.NDArray[Any], runs: Runs, lag: int) -> tuple[npt.NDArray[T], Mask]:
    """Per call: the value of the run's call `lag` (at most `RING`) before, and whether there is one."""
    place = np.arange(len(values))
    here = place - lag >= runs.start
    back = ring[runs.rows[runs.which], (runs.ordinal - lag) % RING]
    found = np.where(here, values[np.maximum(place - lag, 0)], back)
    return found, runs.ordinal >= lag


def latest(keys: U32, ring: U32, runs: Runs) -> I64:
    """Per call: ordinal of the run's latest earlier call with the same key, of the `RING` before it; else -1."""
    pair = runs.which.astype(np.uint64) << np.uint64(32) | keys
    order = np.argsort(pair, kind="stable")
    again = np.flatnonzero(pair[order][1:] == pair[order][:-1])
    found = np.full(len(keys), -1, np.int64)
    found[order[again + 1]] = runs.ordinal[order[again]]
    kept = np.where(ring[runs.rows][runs.which] == keys[:, None], runs.slots[runs.which], -1).max(axis=1)
    found = np.maximum(found, kept)
    return np.where(runs.ordinal - found <= RING, found, -1)


def at_ordinal(ordinal: I64, values: npt.NDArray[T], ring: npt.NDArray[Any], runs: Runs) -> npt.NDArray[T]:
    """Per call: the value of the run's call with that ordinal, one of the `RING` before it; anything where it is -1."""
    place = runs.start + ordinal - (runs.ordinal - (np.arange(len(values)) - runs.start))
    # Places before the run's first are calls of earlier frames.
    here = place >= runs.start
    back = ring[runs.rows[runs.which], ordinal % RING]
    return np.where(here, values[np.where(here, place, 0)], back)
