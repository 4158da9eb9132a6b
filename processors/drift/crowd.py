"""Whether many runs made the steps of a stretch of time, or one."""

from __future__ import annotations

from collections import deque

from ..merge import Totals, Window
from ..sketch import quantile, value_of

_KEPT = 180
"""Windows that are remembered."""
_OPEN = 1.5
"""So many times the calls that runs ended with were made: the rest are of runs that are under way."""
_FEW = 20
"""Calls that prove nothing."""
_LARGEST = 0.3
"""One run with so large a part of all calls speaks for all."""


class Crowd:
    """The calls of the last windows, and the runs that they are of."""

    __slots__ = ("_windows",)

    def __init__(self) -> None:
        # End, calls made, calls of the runs that ended and told of them, the most of one run, how long runs took.
        self._windows: deque[tuple[int, float, float, float, float | None]] = deque(maxlen=_KEPT)

    def add(self, window: Window) -> None:
        """The agent's next window."""
        self._windows.append(
            (
                window.end_ms,
                window.sums["tool_calls"],
                window.sums["run_tool_calls_sum"],
                _largest(window, "run_tool_calls"),
                quantile(window.sketches["run_ms"], 0.5) if window.sketches["run_tool_calls"] else None,
            )
        )

    def is_one_run(self, since_ms: int, *, steps: bool) -> bool:
        """Whether one huge run made so many of the calls since then that it speaks for all.

        `steps`: also one that is under way. It shows in calls that no run has ended with yet; where runs take as long
        as we look back, that tells nothing.
        """
        windows = [one for one in self._windows if one[0] > since_ms]
        if not windows:
            return False
        made, ended = sum(one[1] for one in windows), sum(one[2] for one in windows)
        if max(one[3] for one in windows) > max(_LARGEST * ended, _FEW):
            return True
        took: list[float] = [one[4] for one in self._windows if one[4] is not None]
        # Of agents whose runs do not tell, or never end, nothing is known.
        is_short = bool(took) and 4 * max(took) < windows[-1][0] - since_ms
        return steps and is_short and made > _OPEN * ended + _FEW


def _largest(totals: Totals, name: str) -> float:
    buckets = totals.sketches[name]
    return value_of(max(buckets)) if buckets else 0.0
