"""Runs that have a parent, as one partition tells them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

PIECE = 1_000
"""Runs in one part: some 100 KiB, and what was sent full is not sent again."""

_FIELDS = {
    "child_runs": "run_id",
    "child_parents": "parent_run_id",
    "child_agents": "agent",
    "child_starts_ms": "ts_ms",
}


class EdgeTally:
    """The runs that began in each window of a stretch and have a parent, in the order in which they came."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: list[pl.DataFrame] = []
        self._by_window: dict[int, pl.DataFrame] = {}
        self._sent: dict[int, int] = {}
        self._held = 0
        self.dropped = 0
        """Runs beyond the most that may be held."""

    def add(self, events: pl.DataFrame) -> None:
        """Adds the run starts among these events, which have their `window`."""
        starts = events.select("kind", "window", *_FIELDS.values()).filter(pl.col("parent_run_id").is_not_null())
        some = starts.filter(pl.col("kind") == "run_start").drop("kind")
        room = max(0, self._most - self._held)
        self.dropped += max(0, some.height - room)
        if room and some.height:
            self._new.append(some.head(room))
            self._held += min(room, some.height)

    def pieces(self, window: int) -> Iterator[dict[str, Any]]:
        """What to send of a window: the fields of a part for each piece that is new or grew; at least one, if empty."""
        if self._new:
            added = pl.concat([*self._by_window.values(), *self._new])
            self._by_window = {key: rows for (key,), rows in added.partition_by("window", as_dict=True).items()}
            self._new.clear()
        held = self._by_window.get(window)
        count = 0 if held is None else held.height
        first = self._sent.get(window, 0) // PIECE
        self._sent[window] = count
        for piece in range(first, max(first + 1, -(-count // PIECE))):
            some = None if held is None else held[piece * PIECE : (piece + 1) * PIECE]
            lists = {} if some is None else {name: some[column].to_list() for name, column in _FIELDS.items()}
            yield {"piece": piece, **lists}

    def clear(self) -> None:
        """Forgets all, at the end of a stretch."""
        self._new.clear()
        self._by_window.clear()
        self._sent.clear()
        self._held = 0
