"""Virtual time: coroutines that sleep in it, woken in its order, as fast as somebody calls `step`."""

from __future__ import annotations

import heapq
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any


class _Nap:
    """What a coroutine awaits to let virtual time pass."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self._seconds


def nap(seconds: float) -> _Nap:
    """`await nap(2.5)` comes back 2.5 seconds of virtual time later."""
    return _Nap(seconds)


class Schedule:
    """A clock that stands still but for `step`, and the coroutines that live by it. Also the SDK's `Clock`."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._now = 0.0
        self._order = 0
        self._waiting: list[tuple[float, int, Coroutine[float, None, None], Context]] = []

    def now_ms(self) -> int:
        return self._start_ms + int(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    def start(self, coroutine: Coroutine[Any, None, None]) -> None:
        """Begins a coroutine now; it may await nothing but `nap`."""
        # A context of its own, as a task of asyncio has: the current run is kept there.
        self._push(0.0, coroutine, copy_context())

    @property
    def next_ms(self) -> float | None:
        """When the next coroutine wakes, in milliseconds since the epoch; None where none is left."""
        return self._start_ms + self._waiting[0][0] * 1000 if self._waiting else None

    def step(self) -> None:
        """Moves on to the next coroutine's time, and lets it run to its next nap."""
        self._now, _, coroutine, context = heapq.heappop(self._waiting)
        try:
            seconds = context.run(coroutine.send, None)
        except StopIteration:
            return
        self._push(seconds, coroutine, context)

    def close(self) -> None:
        """Ends the coroutines that are left, where they are."""
        for _, _, coroutine, context in self._waiting:
            context.run(coroutine.close)
        self._waiting.clear()

    def _push(self, seconds: float, coroutine: Coroutine[float, None, None], context: Context) -> None:
        # The order breaks ties the same way each time.
        self._order += 1
        heapq.heappush(self._waiting, (self._now + seconds, self._order, coroutine, context))
