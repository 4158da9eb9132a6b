"""Keeps a worker's memory of the time before it: read from ClickHouse in a thread, at each assignment and now and then.

Nothing waits for it for long, and nothing is lost without it: what was read last stays, and drift then goes by what
the worker has seen itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from ..config import Settings
from ..schemas.anomalies import Anomaly
from ..schemas.errors import RunwatchError
from .drift import DriftRules
from .drift.memory import Memory
from .recall import Recalled, recall

log = logging.getLogger("runwatch.processors")

WAIT_S = 5.0
"""For so long windows wait for it at the most; what comes later is taken in as it comes."""
Read = Callable[[Settings, DriftRules], Recalled]


class Recollection:
    """Fills a memory. To be used from one event loop."""

    def __init__(self, settings: Settings, rules: DriftRules, memory: Memory, read: Read = recall) -> None:
        self._settings = settings
        self._rules = rules
        self._memory = memory
        self._read = read
        self._reading: asyncio.Future[Recalled] | None = None
        self._is_away = False

    async def refresh(self) -> list[Anomaly]:
        """Reads and fills; returns the ends of episodes whose agents fell silent while nobody watched."""
        if self._reading is not None and not self._reading.done():
            return []
        self._reading = reading = self._in_thread()
        try:
            found = await asyncio.shield(reading)
        except (RunwatchError, ImportError) as error:
            if not self._is_away:
                log.warning("%s. Drift goes by what this worker has seen itself until then.", str(error).rstrip("."))
            self._is_away = True
            return []
        self._is_away = False
        self._memory.fill(found.hours, found.episodes)
        return list(found.orphans)

    async def settled(self) -> None:
        """Waits for the reading that is under way, but not for long."""
        if self._reading is not None and not self._reading.done():
            await asyncio.wait([self._reading], timeout=WAIT_S)

    def _in_thread(self) -> asyncio.Future[Recalled]:
        """A thread of its own, which does not keep the worker from ending as those of a pool would."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Recalled] = loop.create_future()
        # Who waits may be gone by then; an error that nobody asks for is not worth a line.
        done.add_done_callback(lambda it: it.cancelled() or it.exception())

        def settle(found: Recalled | None, error: Exception | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            elif found is not None:
                done.set_result(found)

        def work() -> None:
            found, error = None, None
            try:
                found = self._read(self._settings, self._rules)
            except Exception as caught:
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, found, error)

        threading.Thread(target=work, name="runwatch-recall", daemon=True).start()
        return done
