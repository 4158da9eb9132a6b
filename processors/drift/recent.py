"""The last windows of one metric, looked at from now backwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .scores import middle

MISSES = 0.2
"""The part of a sustained change's measurements that chance may have made look usual."""
MOST = 240
"""Windows that are kept at the most."""
_EXACT = 1e-9
_KEPT = 12
"""Measurements that are kept at least, where there are as many."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """A change that goes on."""

    onset_ms: int
    level: float
    """Of all that was measured since."""
    count: int
    """Measurements since."""


class Recent:
    """Windows as (start, end, sum, weight, runs), oldest first."""

    __slots__ = ("_least", "_least_runs", "_longest_ms", "_runs", "_span_ms", "_weight", "_windows")

    def __init__(self, least: float, least_runs: float, span_ms: int, longest_ms: int) -> None:
        """`least`, `least_runs`: weight and runs of a measurement; after `longest_ms` it needs no runs.

        `span_ms`: at least so much is kept.
        """
        self._least = least
        self._least_runs = least_runs
        self._span_ms = span_ms
        self._longest_ms = longest_ms
        self._windows: deque[tuple[int, int, float, float, float]] = deque()
        self._weight = self._runs = 0.0

    def add(self, start_ms: int, end_ms: int, total: float, weight: float, runs: float) -> None:
        """Takes the next window."""
        windows = self._windows
        windows.append((start_ms, end_ms, total, weight, runs))
        self._weight += weight
        self._runs += runs
        while len(windows) > MOST or (
            len(windows) > 2
            and end_ms - windows[1][0] >= self._span_ms
            and self._weight - windows[0][3] >= _KEPT * self._least
            and self._runs - windows[0][4] >= _KEPT * self._least_runs
        ):
            _, _, _, weight, runs = windows.popleft()
            self._weight -= weight
            self._runs -= runs

    def clear(self) -> None:
        self._windows.clear()
        self._weight = self._runs = 0.0

    def measurements(self) -> Iterator[tuple[int, int, float, float]]:
        """Neighbouring windows added up until there is enough in them, newest first."""
        start_ms = end_ms = 0
        total = weight = runs = 0.0
        for start_ms, window_end_ms, own, heavy, stopped in reversed(self._windows):
            if not weight:
                end_ms = window_end_ms
            total += own
            weight += heavy
            runs += stopped
            if weight >= self._least and (runs >= self._least_runs or end_ms - start_ms >= self._longest_ms):
                yield start_ms, end_ms, total, weight
                total = weight = runs = 0.0

    def sustained(
        self,
        sign: int,
        bar: float,
        slack: float,
        sustain_ms: int,
        least: int,
        level_of: Callable[[float], float],
        by_median: bool,
    ) -> Sustained | None:
        """The change that lasts until now: beyond `bar` (above it, with a sign of 1) for `sustain_ms` and longer.

        All of it together lies beyond the bar, and each measurement too but for `slack` and a few of them. It
        has `least` measurements or more; `by_median`: and their median lies beyond it. The longest such stretch counts.
        """
        found: Sustained | None = None
        now_ms = self._windows[-1][1] if self._windows else 0
        misses = 0
        total = weight = 0.0
        levels: list[float] = []
        later: tuple[int, int] | None = None
        for count, (start_ms, end_ms, own, heavy) in enumerate(self.measurements(), 1):
            if later is not None and later[0] - end_ms > max(sustain_ms, 2 * (later[1] - later[0])):
                # Nothing is known of the time between.
                break
            later = (start_ms, end_ms)
            its = level_of(own / heavy)
            is_beyond = sign * (its - bar) >= -slack
            if not is_beyond:
                misses += 1
                if count == 1 or misses > max(1.0, MISSES * count):
                    break
            total += own
            weight += heavy
            levels.append(its)
            if is_beyond and count >= least and misses <= MISSES * count and now_ms - start_ms >= sustain_ms:
                level = level_of(total / weight)
                if by_median:
                    # One huge run lifts the whole, but not the most of it.
                    level = sign * min(sign * level, sign * middle(sorted(levels)))
                if sign * (level - bar) >= -_EXACT:
                    found = Sustained(start_ms, level, count)
        return found
