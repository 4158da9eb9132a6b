"""A history through the very code that watches the stream, by way of the backtest, which is that code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from ...processors.backtest import Backtest, Piece
from ...processors.rules import Rules
from ...schemas.anomalies import Anomaly

LOG_DELAY_MS = 250
"""From an event's time to its place in the log."""
FRAME_MS = 300_000
"""So much of log time comes in at once. Live frames are smaller, which changes nothing but the cost."""
STRETCH_MS = 12 * FRAME_MS
"""So often window parts are added up; by default it is every five minutes, which finds the same and costs more."""


def judged(pieces: Iterable[pl.DataFrame], rules: Rules, *, stretch_ms: int = STRETCH_MS) -> Iterator[Anomaly]:
    """Anomalies as a worker would find them. `pieces`: events in event-time order, as `history` gives them."""
    windows = rules.windows.model_copy(update={"stretch": stretch_ms})
    judging = Backtest(rules.model_copy(update={"windows": windows}), disorder_ms=LOG_DELAY_MS)
    seen = 0
    for frame in _frames(pieces):
        log_ms = int(frame["ts_ms"][0]) + LOG_DELAY_MS
        offsets = np.arange(seen, seen + frame.height)
        yield from judging.add(Piece(frame.drop("looping"), np.zeros(frame.height, np.int64), offsets, log_ms))
        seen += frame.height
    yield from judging.finish()


def _frames(pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The events cut where a frame's time is over."""
    for piece in pieces:
        frame = (piece["ts_ms"].to_numpy() + LOG_DELAY_MS) // FRAME_MS
        ends = np.flatnonzero(np.diff(frame)) + 1
        for begin, end in zip([0, *ends.tolist()], [*ends.tolist(), piece.height], strict=True):
            if end > begin:
                yield piece[begin:end]
