"""Where the SDK takes its time from, so that a simulated fleet can bring its own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for event times, and a clock that never goes back for durations."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since whenever; only differences mean something."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    # A plain alias: this is asked twice for every call.
    monotonic = staticmethod(time.perf_counter)
