"""The open runs of one partition, in arrays: which events were seen, and each run's latest tool calls.

A run takes one row. Repeats (an agent that resends after a crash) are told by the event's place in its run,
as IPsec tells replayed packets (RFC 4303, 3.4.3): the highest place seen, and a bitmap of the 64 that end with it.
The latest calls stand in a ring of `RING` places a run, as hashes: what a loop is made of, and no strings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RING = 32
"""Calls kept a run: enough for three rounds of a cycle of six, with calls between."""

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_WINDOW = 64
_FULL = np.uint64(2**64 - 1)
_NOTHING_SEEN = -1 << _WINDOW


@dataclass(frozen=True, slots=True)
class History:
    """A run's latest tool calls, oldest first; at most `RING`."""

    calls: list[int]
    """Hash of tool and arguments."""
    results: list[int]
    """Hash of status, error and result; odd where the call failed."""
    seqs: list[int]
    times: list[int]
    """Event time, milliseconds."""


class RunTable:
    """Rows for the open runs of one partition. Grows by doubling; rows of ended and idle runs are used again."""

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
        self.calls: I64 = np.empty(0, np.int64)
        self.fired: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self.ring_call: U64 = np.empty((0, RING), np.uint64)
        self.ring_result: U64 = np.empty((0, RING), np.uint64)
        self.ring_seq: npt.NDArray[np.int32] = np.empty((0, RING), np.int32)
        self.ring_ms: npt.NDArray[np.int32] = np.empty((0, RING), np.int32)
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
        for name, old in self._arrays().items():
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: self._capacity] = old
            setattr(self, name, new)
        self._free.extend(range(capacity - 1, self._capacity - 1, -1))
        self._capacity = capacity

    # -- rows --------------------------------------------------------------------------------------

    def locate(self, runs: U64, first_ms: I64) -> I64:
        """Rows of these runs (each once), made for those that have none. `first_ms`: event time of each's first."""
        keys = runs.tolist()
        get = self._rows.get
        rows = [get(key, -1) for key in keys]
        for at, row in enumerate(rows):
            if row < 0:
                rows[at] = self._open(keys[at], int(first_ms[at]))
        return np.array(rows, np.int64)

    def _open(self, key: int, first_ms: int) -> int:
        if not self._free:
            self._grow(self._capacity * 2)
        row = self._free.pop()
        self._rows[key] = row
        seen = self._ended.pop(key, None)
        if seen is None:
            seen = self._ended_before.pop(key, _NOTHING_SEEN)
        self.run[row] = key
        self.last_seq[row] = seen >> _WINDOW
        self.seen[row] = seen & int(_FULL)
        self.first_ms[row] = first_ms
        self.calls[row] = 0
        self.fired[row] = 0
        return row

    def end(self, rows: I64) -> None:
        """Gives the rows of ended runs free; that they ended is remembered until the second `age` from now."""
        for row in np.unique(rows).tolist():
            key = int(self.run[row])
            if self._rows.pop(key, None) is not None:
                self._ended[key] = int(self.last_seq[row]) << _WINDOW | int(self.seen[row])
                self._free.append(row)

    def restart(self, rows: I64) -> None:
        """Forgets these runs' calls, but not their places."""
        self.calls[rows] = 0
        self.fired[rows] = 0

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

    def count_in_ring(self, rows: I64, calls: U64) -> I64:
        """How often each of these calls stands among its run's kept calls."""
        filled = np.minimum(self.calls[rows], RING)
        same = self.ring_call[rows] == calls[:, None]
        # Places that were never written hold a former run's hashes.
        same &= np.arange(RING) < filled[:, None]
        count: I64 = same.sum(axis=1, dtype=np.int64)
        return count

    def history(self, row: int) -> History:
        """The run's kept calls."""
        count = int(self.calls[row])
        places = (np.arange(max(0, count - RING), count) % RING).tolist()
        first_ms = int(self.first_ms[row])
        return History(
            self.ring_call[row][places].tolist(),
            self.ring_result[row][places].tolist(),
            self.ring_seq[row][places].tolist(),
            [first_ms + ms for ms in self.ring_ms[row][places].tolist()],
        )

    def push(self, rows: I64, calls: U64, results: U64, seqs: I64, times: I64) -> None:
        """Appends these calls (in the order they came) to their runs' rings."""
        order = np.argsort(rows, kind="stable")
        row = rows[order]
        first = np.r_[True, row[1:] != row[:-1]]
        starts = np.flatnonzero(first)
        lengths = np.diff(np.r_[starts, len(row)])
        rank = np.arange(len(row)) - np.repeat(starts, lengths)
        # Only a run's last RING calls are written: the earlier would be overwritten, in no certain order.
        late = rank >= np.repeat(lengths, lengths) - RING
        place = (self.calls[row] + rank) % RING
        row, place, order_late = row[late], place[late], order[late]
        self.ring_call[row, place] = calls[order_late]
        self.ring_result[row, place] = results[order_late]
        self.ring_seq[row, place] = np.minimum(seqs[order_late], 2**31 - 1)
        self.ring_ms[row, place] = np.clip(times[order_late] - self.first_ms[row], -(2**31), 2**31 - 1)
        which = rows[order][starts]
        self.calls[which] += lengths
