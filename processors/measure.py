"""What agents do, for Prometheus: frames' numbers, added up by agent in bulk.

Frames are kept as they are, and added up once a second or once there are many. No clock and no Prometheus here;
`metrics.agents` has the totals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from ..metrics.agents import COLUMN, HISTOGRAMS, REASONS, WIDTH, Matrix, buckets
from ..metrics.labels import OTHER
from ..schemas.reasons import REFUSALS, UNKNOWN
from .partition import Fresh
from .runs import I64, U64, Mask

MOST_KEPT = 65_536
"""Events that are kept before they are added up."""

F64 = npt.NDArray[np.float64]


def _hash(*words: str | None) -> U64:
    """Their hashes, as those of a frame's columns are: of one process, and of no other."""
    return pl.Series(words, dtype=pl.String).hash().to_numpy()


_REFUSALS = _hash(*sorted(REFUSALS))
_KNOWN = {
    int(hashed): REASONS.index(reason or UNKNOWN)
    for reason in (None, *REASONS)
    if reason != OTHER
    for hashed in _hash(reason)
}
_REASON_HASHES = np.array(sorted(_KNOWN), np.uint64)
_REASON_PLACES = np.array([_KNOWN[int(one)] for one in _REASON_HASHES])
_OTHER_REASON = REASONS.index(OTHER)


class Measure:
    """The events that were not added up yet, and which agent has which row."""

    def __init__(self, row: Callable[[str], int], most: int) -> None:
        """`row`: an agent's row, out of `most` and one more, which is all others'."""
        self._frames: list[Fresh] = []
        self._events = 0
        self._row = row
        self._most = most
        # Hashes of the agents that have rows, ascending, and their rows.
        self._hashes: U64 = np.zeros(0, np.uint64)
        self._rows: I64 = np.zeros(0, np.int64)

    def keep(self, events: Fresh) -> bool:
        """Keeps a frame's events; True once there are enough to be taken."""
        self._frames.append(events)
        self._events += len(events.agents)
        return self._events >= MOST_KEPT

    def take(self) -> Matrix | None:
        """The numbers of all that was kept, which is let go of; None where nothing was."""
        frames, self._frames, self._events = self._frames, [], 0
        return self._added_up(frames) if frames else None

    def _added_up(self, frames: list[Fresh]) -> Matrix:
        rows = self._rows_of(pl.concat([one.agents for one in frames]))
        reasons = pl.concat([one.stop_reasons for one in frames])
        asked = np.concatenate([one.work.is_model_call for one in frames])
        called = np.concatenate([one.work.is_tool_call for one in frames])
        stops = np.flatnonzero(np.concatenate([one.numbers.is_stop for one in frames]))
        numbers: Matrix = np.zeros((self._most + 1, WIDTH))

        def count(name: str, of: I64, weights: F64 | None = None) -> None:
            numbers[:, COLUMN[name]] = np.bincount(of, weights, self._most + 1)

        count("events", rows)
        # A reason on what is no stop is rare, and mostly a refusal.
        told = np.flatnonzero(reasons.is_not_null().to_numpy() & (asked | called))
        if len(told):
            refused = told[np.isin(reasons.gather(told).hash().to_numpy(), _REFUSALS)]
            count("refused", rows[refused])
            asked[refused] = called[refused] = False
        of = rows[asked]
        count("model_calls", of)
        given = np.concatenate([one.work.input_tokens for one in frames])[asked].astype(np.float64)
        tokens = np.concatenate([one.numbers.tokens for one in frames])[asked]
        count("input_tokens", of, given)
        count("output_tokens", of, tokens - given)
        count("cost_usd", of, np.concatenate([one.numbers.cost_usd for one in frames])[asked])
        count("tool_results", rows[called])
        for name, flags in (
            ("tool_errors", [one.numbers.failed for one in frames]),
            ("retries", [one.numbers.retried for one in frames]),
            ("rate_limited", [one.numbers.throttled for one in frames]),
        ):
            count(name, rows[called & np.concatenate(flags)])
        if len(stops):
            self._add_runs(numbers, rows[stops], reasons.gather(stops).hash().to_numpy(), frames, stops)
        return numbers

    def _add_runs(self, numbers: Matrix, rows: I64, reasons: U64, frames: list[Fresh], stops: I64) -> None:
        """Runs by why they stopped, and what they took. A run that does not say what it took is in no bucket."""
        at, known = _find(_REASON_HASHES, reasons)
        first = COLUMN[f"stop:{REASONS[0]}"]
        numbers[:, first : first + len(REASONS)] = self._spread(
            rows, np.where(known, _REASON_PLACES[at], _OTHER_REASON), len(REASONS)
        )
        taken = {
            "tool_calls": np.concatenate([one.work.run_tool_calls for one in frames])[stops],
            "run_ms": np.concatenate([one.work.run_ms for one in frames])[stops],
        }
        for name, metric in HISTOGRAMS.items():
            said = taken[name]
            of, values = rows[said >= 0], said[said >= 0].astype(np.float64)
            where = buckets(name)
            numbers[:, where] = self._spread(of, np.searchsorted(metric.bounds, values), len(metric.bounds) + 1)
            numbers[:, where.stop] = np.bincount(of, values, self._most + 1)

    def _spread(self, rows: I64, places: I64, width: int) -> I64:
        """How many there are of each row and place."""
        return np.bincount(rows * width + places, minlength=(self._most + 1) * width).reshape(self._most + 1, width)

    def _rows_of(self, agents: pl.Series) -> I64:
        """Each event's row. By hashes, since looking up names would cost more than all the rest."""
        hashes = agents.hash().to_numpy()
        at, known = _find(self._hashes, hashes)
        if not known.all():
            # Whoever shares the last row is asked for anew each time, so that there is an end to what is kept.
            self._learn(hashes, agents, ~known)
            at, known = _find(self._hashes, hashes)
        return np.where(known, self._rows[at], self._most) if len(self._rows) else np.full(len(hashes), self._most)

    def _learn(self, agents: U64, names: pl.Series, new: Mask) -> None:
        """Asks for the rows of these events' agents, in their order."""
        hashes, first = np.unique(agents[new], return_index=True)
        order = np.argsort(first)
        places = np.flatnonzero(new)[first[order]]
        rows = np.array([self._row(name) for name in names.gather(places)], np.int64)
        own = rows < self._most
        joined, their_rows = np.r_[self._hashes, hashes[order][own]], np.r_[self._rows, rows[own]]
        order = np.argsort(joined)
        self._hashes, self._rows = joined[order], their_rows[order]


def _find(known: U64, wanted: U64) -> tuple[I64, Mask]:
    """Where each stands among the known, which ascend; and whether it does, since else the place means nothing."""
    if not len(known):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at, known[at] == wanted
