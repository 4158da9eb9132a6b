"""The open runs of one partition, in arrays: which events were seen, and each run's latest tool calls.

A run takes one row. Repeats (an agent that resends after a crash) are told by the event's place in its run,
as IPsec tells replayed packets (RFC 4303, 3.4.3): the highest place seen, and a bitmap of the 64 that end with it.
The latest calls stand in a ring of `RING` places a run, as hashes: what a loop is made of, and no strings. What
held of the calls before these, and how often in a row, is carried in a few numbers (`loops/measures.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

LONGEST_CYCLE = 6
_CYCLES = tuple(f"cycle_{period}" for period in range(2, LONGEST_CYCLE + 1))

RING = 32
"""Calls kept a run: enough for five rounds of a cycle of six."""

STREAKS = ("same", "eager", "failing", "error", "error_class", "stale", "poor_stale", "stagnant", *_CYCLES)
"""What is counted in a row, a column each of `RunTable.streaks`."""

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_MISSING = 1_000_000

_WINDOW = 64
_LARGE = 1_024
"""A table grows by a quarter, and while it is small by up to so much more: doubling would leave half of it empty."""
_FULL = np.uint64(2**64 - 1)


class RunTable:
    """Rows for the open runs of one partition. Grows by a part of itself; rows of ended and idle runs are used again.

    A column that begins with a run's first call, or is about its calls, is 0 in a run that has made none.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self._rows: dict[int, int] = {}
        # Runs that ended lately: by run hash, the highest place seen and below it the bitmap, in one integer.
        # Two generations, so that forgetting costs nothing per run.
        self._ended: dict[int, int] = {}
        self._ended_before: dict[int, int] = {}
        self._free: list[int] = []
        self._capacity = 0
        self.run: U64 = np.empty(0, np.uint64)
        self.last_seq: I64 = np.empty(0, np.int64)
        self.seen: U64 = np.empty(0, np.uint64)
        self.touched_ms: I64 = np.empty(0, np.int64)
        self.first_ms: I64 = np.empty(0, np.int64)
        self.first_seq: I64 = np.empty(0, np.int64)
        self.calls: I64 = np.empty(0, np.int64)
        self.fired: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        # 32 bits of a hash: they are only ever compared with the run's own.
        self.ring_call: npt.NDArray[np.uint32] = np.empty((0, RING), np.uint32)
        self.ring_outcome: npt.NDArray[np.uint32] = np.empty((0, RING), np.uint32)
        # The call's place in the run, inverted (below 0) where it was waited for.
        self.ring_seq: npt.NDArray[np.int32] = np.empty((0, RING), np.int32)
        self.ring_ms: npt.NDArray[np.int32] = np.empty((0, RING), np.int32)
        self.streaks: npt.NDArray[np.uint16] = np.empty((0, len(STREAKS)), np.uint16)
        self.eager_since_ms: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self.last_class: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self.last_gap_ms: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self.poor: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self.new_calls: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self.new_gaps_ms: I64 = np.empty(0, np.int64)
        self.retry_bits: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        # Steps, tokens and US dollars that the run has taken so far.
        self.taken: npt.NDArray[np.float64] = np.empty((0, 3), np.float64)
        self._grow(capacity)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bytes_per_run(self) -> int:
        """Memory of one row, the entry in the index left out."""
        return sum(array[:1].nbytes for array in self._arrays().values())

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def _grow(self, capacity: int) -> None:
        for name in list(self._arrays()):
            # One at a time: a column that has grown is let go before the next one grows.
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: self._capacity] = old
            setattr(self, name, new)
        self._free.extend(range(capacity - 1, self._capacity - 1, -1))
        self._capacity = capacity

    # -- rows --------------------------------------------------------------------------------------

    def locate(self, runs: U64, first_ms: I64, first_seq: I64) -> I64:
        """Rows of these runs (each once), made for those that have none. Of each run's first event: `first_ms`, its
        event time, and `first_seq`, its place."""
        keys = runs.tolist()
        get = self._rows.get
        rows = np.array([get(key, -1) for key in keys], np.int64)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            rows[missing] = self._open(runs[missing], first_ms[missing], first_seq[missing])
        return rows

    def _open(self, runs: U64, first_ms: I64, first_seq: I64) -> I64:
        """New rows for these runs."""
        while len(self._free) < len(runs):
            self._grow(self._capacity + max(1, min(self._capacity, self._capacity // 4 + _LARGE)))
        keys = runs.tolist()
        taken = [self._free.pop() for _ in keys]
        self._rows.update(zip(keys, taken, strict=True))
        rows = np.array(taken, np.int64)
        self.run[rows] = runs
        self.first_ms[rows] = first_ms
        self.first_seq[rows] = first_seq
        self.last_seq[rows] = -1
        self.seen[rows] = 0
        self._anew(rows)
        if self._ended or self._ended_before:
            for key, row in zip(keys, taken, strict=True):
                seen = self._ended.pop(key, None)
                if seen is None:
                    seen = self._ended_before.pop(key, None)
                if seen is not None:
                    self.last_seq[row] = seen >> _WINDOW
                    self.seen[row] = seen & int(_FULL)
        return rows

    def _anew(self, rows: I64) -> None:
        for column in (
            self.calls, self.fired, self.streaks, self.eager_since_ms, self.last_class, self.last_gap_ms, self.poor,
            self.new_calls, self.new_gaps_ms, self.retry_bits, self.taken,
        ):  # fmt: skip
            column[rows] = 0

    def end(self, rows: I64) -> None:
        """Gives the rows of ended runs free; that they ended is remembered until the second `age` from now."""
        for row in np.unique(rows).tolist():
            key = int(self.run[row])
            if self._rows.pop(key, None) is not None:
                self._ended[key] = int(self.last_seq[row]) << _WINDOW | int(self.seen[row])
                self._free.append(row)

    def restart(self, rows: I64, last_seq: I64) -> None:
        """Forgets the calls of these runs, but not which events were seen. `last_seq`: place of each's stop."""
        self._anew(rows)
        self.first_seq[rows] = np.minimum(last_seq, 2**62) + 1

    def missing(self, rows: I64, last_seq: I64) -> int:
        """How many places these runs left empty, from the first event that was seen of each to its stop at `last_seq`.

        One run counts as `MOST_MISSING` at the most: places are what agents say.
        """
        # As floats: places may be any 64-bit number, and so their difference may not.
        places = last_seq.astype(np.float64) - self.first_seq[rows].astype(np.float64) + 1
        return int(np.clip(places - self.taken[rows, 0], 0, MOST_MISSING).sum())

    def forget(self, idle_before_ms: int) -> int:
        """Gives the rows of runs free that were last touched before then (log time); returns how many."""
        rows = np.fromiter(self._rows.values(), np.int64, len(self._rows))
        idle = rows[self.touched_ms[rows] < idle_before_ms]
        for row in idle.tolist():
            del self._rows[int(self.run[row])]
            self._free.append(row)
        return len(idle)

    def age(self) -> None:
        """Moves the ended runs a generation on: those of the generation before are forgotten."""
        self._ended_before, self._ended = self._ended, {}

    @property
    def ended(self) -> int:
        """How many ended runs are in the younger generation."""
        return len(self._ended)

    # -- repeats -----------------------------------------------------------------------------------

    def fresh(self, rows: I64, seqs: I64) -> Mask:
        """Which of these events (in the order they came) were not seen before, and notes them as seen.

        An event 64 places or more behind its run's highest is taken for seen.
        """
        order = np.argsort(rows, kind="stable")
        row, seq = rows[order], seqs[order]
        first = np.r_[True, row[1:] != row[:-1]]
        before = np.where(first, self.last_seq[row], np.r_[0, seq[:-1]])
        rising = seq > before
        keep = np.ones(len(rows), np.bool_)
        if not rising.all():
            # Some run's places fall or repeat: those runs one event at a time, the rest at once.
            odd = np.isin(row, row[~rising])
            for at in np.flatnonzero(odd).tolist():
                keep[order[at]] = self._note(int(row[at]), int(seq[at]))
            row, seq = row[~odd], seq[~odd]
            first = np.r_[True, row[1:] != row[:-1]][: len(row)]
        if len(row):
            starts = np.flatnonzero(first)
            ends = np.r_[starts[1:], len(row)] - 1
            which, top = row[starts], seq[ends]
            behind = top[np.cumsum(first) - 1] - seq
            bits = np.where(behind < _WINDOW, np.uint64(1) << np.minimum(behind, 63).astype(np.uint64), np.uint64(0))
            moved = top - self.last_seq[which]
            kept = np.where(moved < _WINDOW, self.seen[which] << np.minimum(moved, 63).astype(np.uint64), np.uint64(0))
            self.seen[which] = kept | np.bitwise_or.reduceat(bits, starts)
            self.last_seq[which] = top
        return keep

    def _note(self, row: int, seq: int) -> bool:
        """As `fresh`, for one event."""
        last, seen = int(self.last_seq[row]), int(self.seen[row])
        if seq > last:
            moved = seq - last
            self.seen[row] = (seen << moved if moved < _WINDOW else 0) & int(_FULL) | 1
            self.last_seq[row] = seq
            return True
        behind = last - seq
        if behind >= _WINDOW or seen >> behind & 1:
            return False
        self.seen[row] = seen | 1 << behind
        return True

    # -- calls -------------------------------------------------------------------------------------

    def push(self, rows: I64, starts: I64, lengths: I64, kept: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Appends calls, sorted by run, to their runs' rings. `rows`: each once; `kept`: by ring, a value a call."""
        rank = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        # Only a run's last RING calls are written: the earlier would be overwritten, in no certain order.
        late = rank >= np.repeat(lengths, lengths) - RING
        row = np.repeat(rows, lengths)[late]
        place = (self.calls[row] + rank[late]) % RING
        for name, values in kept.items():
            getattr(self, f"ring_{name}")[row, place] = values[late]
        self.calls[rows] += lengths
