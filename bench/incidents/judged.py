"""A history through the very code that watches the stream: fold, window parts, merging, drift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl

from ...processors.drift import DriftJudge
from ...processors.merge import Merger
from ...processors.partition import PartitionFold
from ...processors.rules import Rules
from ...schemas.anomalies import Anomaly

LOG_DELAY_MS = 250
"""From an event's time to its place in the log."""


def judged(
    pieces: Iterable[pl.DataFrame], rules: Rules, progress: Callable[[int], None] = lambda _events: None
) -> Iterator[Anomaly]:
    """Anomalies as a worker would find them. `pieces`: events in event-time order, as `history` gives them.

    A frame holds what one stretch of log time brought: larger than most of live, which changes nothing.
    """
    fold = PartitionFold(0, rules.fold)
    merger = Merger(rules.merge)
    judge = DriftJudge(rules.drift)
    seen = 0
    for frame in _frames(pieces, rules.fold.windows.stretch):
        log_ms = int(frame["ts_ms"][-1]) + LOG_DELAY_MS
        out = fold.add(frame.drop("looping"), np.arange(seen, seen + frame.height), log_ms)
        yield from out.anomalies
        for part in out.parts:
            if part["tool"] is None:
                merger.add(part, log_ms)
        for agent, window in merger.ready(log_ms):
            yield from judge.judge(agent, window)
        seen += frame.height
        progress(seen)


def _frames(pieces: Iterable[pl.DataFrame], stretch_ms: int) -> Iterator[pl.DataFrame]:
    """The events cut where a stretch of log time ends."""
    for piece in pieces:
        stretch = (piece["ts_ms"].to_numpy() + LOG_DELAY_MS) // stretch_ms
        ends = np.flatnonzero(np.diff(stretch)) + 1
        for begin, end in zip([0, *ends.tolist()], [*ends.tolist(), piece.height], strict=True):
            if end > begin:
                yield piece[begin:end]
