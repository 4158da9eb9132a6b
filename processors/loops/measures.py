"""What is measured of each tool call: how often in a row something holds, and what share of the run does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...schemas.canonical import sha, text_sha
from ..runs import I64, LONGEST_CYCLE, RING, STREAKS, Mask, RunTable
from .rules import LoopRules, WaitingRule
from .streaks import U32, Runs, T, at_ordinal, lagged, latest, streak, total

FAILED, POOR, UNKNOWN = 1, 2, 4
"""The lowest bits of an outcome: the call failed; it failed or came back empty; its result was not logged."""
RETRIED, THROTTLED = 1, 2
"""Flags of a call: it says that it is a retry; it was answered with 429 or 5xx."""

EMPTY_RESULTS = (text_sha(""), sha(""), sha(None), sha([]), sha({}))
"""Hashes of results with nothing in them."""

_MOST_GAP_MS = 3_600_000
"""A gap counts as an hour at the most, and none as less than nothing: clocks jump."""
_MOST = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Calls:
    """Tool calls, a value each."""

    call: U32
    """Hash of tool and arguments."""
    outcome: U32
    """Hash of tool, error and result, but for the three lowest bits: `FAILED`, `POOR`, `UNKNOWN`."""
    error: U32
    """Hash of tool and error."""
    flags: npt.NDArray[np.uint8]
    """`RETRIED`, `THROTTLED`."""
    seqs: I64
    times: I64
    """Event time, milliseconds."""

    def take(self, order: I64) -> Calls:
        """The same calls in another order."""
        return Calls(*(getattr(self, name)[order] for name in self.__slots__))

    def __len__(self) -> int:
        return len(self.call)


@dataclass(frozen=True, slots=True)
class Measures:
    """A value a call, the calls sorted by run. Counts have this call in them."""

    same: I64
    """The same call with the same outcome, in a row."""
    eager: I64
    """Of these, how many in a row were not waited for."""
    eager_ms: I64
    """How long that took, milliseconds."""
    between: I64
    """The same call with the same outcome, of the run's last `RING` calls; waited for is not counted."""
    failing: I64
    error: I64
    error_class: I64
    stale: I64
    poor_stale: I64
    stagnant: I64
    cycles: dict[int, I64]
    """Period → whole rounds."""
    retries: I64
    """Retries and throttled calls, of the run's last `RING`."""
    poor_share: npt.NDArray[np.float64]
    """What share of the run's calls brought next to nothing."""
    retried: Mask
    waited: Mask
    """Whether it came after a decent interval."""
    unknown: Mask


def measure(table: RunTable, runs: Runs, calls: Calls, rules: LoopRules) -> Measures:
    """Measures these calls, sorted by run, and carries on what the runs' rows keep (but not their rings)."""
    outcome, rows = calls.outcome, runs.rows
    failed, poor, unknown = (outcome & bit != 0 for bit in (FAILED, POOR, UNKNOWN))
    # Who says that it tries again has a number of tries; `failing` counts them, and no other rule.
    retried = calls.flags & RETRIED != 0
    times = np.clip(calls.times - table.first_ms[rows][runs.which], -(2**31), 2**31 - 1)
    carried = table.streaks[rows]

    call_at = latest(calls.call, table.ring_call, runs)
    again = _same_as(1, table, runs, calls)
    same = streak(again, runs, carried[:, STREAKS.index("same")])
    waited = _waited(table, runs, times, call_at, (same >= 2) & ~failed, rules.waiting)
    seen = (call_at >= 0) & (latest(outcome, table.ring_outcome, runs) >= 0) & ~unknown
    nothing_new = seen & ~waited & ~retried
    last_call, last_outcome = (
        lagged(values, ring, runs, 1)[0]
        for values, ring in ((calls.call, table.ring_call), (outcome, table.ring_outcome))
    )
    fails_again = (runs.ordinal > 0) & failed & (last_outcome & FAILED != 0) & ~waited
    held: dict[str, Mask] = {
        "same": again,
        "eager": again & ~waited & ~failed,
        "failing": fails_again & (last_call == calls.call),
        "error": fails_again & (last_outcome == outcome),
        "error_class": fails_again & (_before(calls.error, runs, table.last_class[rows]) == calls.error),
        "stale": nothing_new,
        "poor_stale": nothing_new & poor,
        "stagnant": (failed | nothing_new) & ~waited & ~retried,
    }
    for period in range(2, LONGEST_CYCLE + 1):
        held[f"cycle_{period}"] = _same_as(period, table, runs, calls) & ~waited & ~retried & ~unknown

    counts = {name: streak(held[name], runs, carried[:, at]) for at, name in enumerate(STREAKS)}
    since_ms = _since(held["eager"], times, runs, table.eager_since_ms[rows])
    poor_calls = total(poor | nothing_new, runs, table.poor[rows])
    retries, bits = _of_the_last(calls.flags != 0, runs, table.retry_bits[rows])

    ends = runs.ends
    table.streaks[rows] = np.stack([np.minimum(counts[name][ends], _MOST) for name in STREAKS], axis=1)
    table.eager_since_ms[rows] = since_ms[ends]
    table.last_class[rows] = calls.error[ends]
    table.poor[rows] = poor_calls[ends]
    table.retry_bits[rows] = bits
    return Measures(
        same=counts["same"] + 1,
        eager=counts["eager"] + 1,
        eager_ms=times - since_ms,
        between=_between(table, runs, calls, waited, seen & ~waited),
        failing=np.where(failed, counts["failing"] + 1, 0),
        error=np.where(failed, counts["error"] + 1, 0),
        error_class=np.where(failed, counts["error_class"] + 1, 0),
        stale=counts["stale"],
        poor_stale=counts["poor_stale"],
        stagnant=counts["stagnant"],
        cycles={period: 1 + counts[f"cycle_{period}"] // period for period in range(2, LONGEST_CYCLE + 1)},
        retries=retries,
        poor_share=poor_calls / (runs.ordinal + 1),
        retried=retried,
        waited=waited,
        unknown=unknown,
    )


def _same_as(lag: int, table: RunTable, runs: Runs, calls: Calls) -> Mask:
    """Per call: whether it is the run's call `lag` before, with the same outcome."""
    call, there = lagged(calls.call, table.ring_call, runs, lag)
    outcome, _ = lagged(calls.outcome, table.ring_outcome, runs, lag)
    same: Mask = there & (call == calls.call) & (outcome == calls.outcome)
    return same


def _before(values: npt.NDArray[T], runs: Runs, carried: npt.NDArray[T]) -> npt.NDArray[T]:
    """Per call: the value of the run's call before it. `carried`: per run, of its last call of earlier frames."""
    is_first = np.arange(len(values)) == runs.start
    return np.where(is_first, carried[runs.which], np.roll(values, 1))


def _waited(table: RunTable, runs: Runs, times: I64, call_at: I64, may_back_off: Mask, rule: WaitingRule) -> Mask:
    """Per call: whether it was made before, and came after a decent interval. `call_at`: ordinal of when, or -1.

    An interval is decent by the run's own pace: what it usually takes from one call to one that it has not made yet.
    """
    rows, made_before = runs.rows, runs.ordinal > 0
    gap = np.clip(times - lagged(times, table.ring_ms, runs, 1)[0], 0, _MOST_GAP_MS)
    gap[~made_before] = 0
    is_new = (call_at < 0) & made_before
    new_calls = total(is_new, runs, table.new_calls[rows])
    new_gaps = total(np.where(is_new, gap, 0), runs, table.new_gaps_ms[rows])
    pace = new_gaps / np.maximum(new_calls, 1)
    since = np.clip(times - at_ordinal(call_at, times, table.ring_ms, runs), 0, _MOST_GAP_MS)
    decent = since >= np.maximum(rule.interval, rule.pace * pace * (runs.ordinal - call_at))
    last_gap = _before(gap, runs, table.last_gap_ms[rows])
    backs_off = may_back_off & (last_gap > 0) & (gap >= rule.backoff * last_gap)
    table.last_gap_ms[rows] = gap[runs.ends]
    table.new_calls[rows] = new_calls[runs.ends]
    table.new_gaps_ms[rows] = new_gaps[runs.ends]
    waited: Mask = ((call_at >= 0) & decent) | backs_off
    return waited


def _since(held: Mask, times: I64, runs: Runs, carried: npt.NDArray[np.int32]) -> I64:
    """Per call: when the first of those that hold in a row came, with the one before them."""
    broken = np.maximum.accumulate(np.where(held, -1, np.arange(len(held))))
    since: I64 = np.where(broken < runs.start, carried[runs.which], times[np.maximum(broken, 0)])
    return since


def _of_the_last(flagged: Mask, runs: Runs, bits: U32) -> tuple[I64, U32]:
    """Per call: how many of the run's last `RING` are flagged. Per run: which, the latest the lowest bit."""
    place = np.arange(len(flagged))
    rank = place - runs.start
    sums = np.r_[0, np.cumsum(flagged)]
    here = sums[place + 1] - sums[np.maximum(runs.start, place + 1 - RING)]
    # Of those before, the ones that this many calls have not yet pushed out.
    room = np.clip(RING - 1 - rank, 0, RING).astype(np.uint64)
    kept = bits[runs.which].astype(np.uint64) & ((np.uint64(1) << room) - np.uint64(1))
    counts = here + _ones(kept)
    back = (runs.ends[runs.which] - place).astype(np.uint64)
    mine = np.where(flagged & (back < RING), np.uint64(1) << np.minimum(back, np.uint64(RING)), np.uint64(0))
    shift = np.minimum(runs.lengths, RING).astype(np.uint64)
    moved = (bits.astype(np.uint64) << shift) | np.bitwise_or.reduceat(mine, runs.starts)
    return counts, (moved & np.uint64(2**RING - 1)).astype(np.uint32)


def _ones(values: npt.NDArray[np.uint64]) -> I64:
    """Bits set, of values below 2**32."""
    octets = np.ascontiguousarray(values.astype("<u4")).view(np.uint8).reshape(-1, 4)
    ones: I64 = _ONES[octets].sum(axis=1, dtype=np.int64)
    return ones


_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


def _between(table: RunTable, runs: Runs, calls: Calls, waited: Mask, asked: Mask) -> I64:
    """Per call that is asked for: how many of the run's last `RING` are the same and were not waited for."""
    count = np.ones(len(calls), np.int64)
    at = np.flatnonzero(asked)
    if not len(at):
        return count
    lag = np.arange(1, RING)
    place, ordinal = at[:, None] - lag, runs.ordinal[at][:, None]
    here, slot = place >= runs.start[at][:, None], (ordinal - lag) % RING
    place, row = np.maximum(place, 0), runs.rows[runs.which[at]][:, None]
    call = np.where(here, calls.call[place], table.ring_call[row, slot])
    outcome = np.where(here, calls.outcome[place], table.ring_outcome[row, slot])
    # The ring holds the place in the run as it is, or inverted where the call was waited for.
    eager = np.where(here, ~waited[place], table.ring_seq[row, slot] >= 0)
    same = eager & (call == calls.call[at][:, None]) & (outcome == calls.outcome[at][:, None])
    count[at] += (same & (ordinal >= lag)).sum(axis=1)
    return count
