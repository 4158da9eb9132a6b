"""What the SDK says about its own trouble: to the log, once in a while, never to the agent."""

from __future__ import annotations

import logging
import threading
import time

LOGGER = logging.getLogger("runwatch")
QUIET_S = 300.0
"""After a notice, the same kind of trouble is not told again for this many seconds."""


class Notices:
    """Tells each kind of trouble once per `QUIET_S`, so that a broken broker cannot fill an agent's log."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._lock = threading.RLock()

    def tell(self, kind: str, message: str, *values: object) -> None:
        """Logs `message % values` as a warning unless this `kind` was told lately. Never raises."""
        now = time.monotonic()
        with self._lock:
            last = self._told.get(kind)
            if last is not None and now - last < QUIET_S:
                return
            self._told[kind] = now
        LOGGER.warning("runwatch: " + message, *values)

    def after_fork(self) -> None:
        """A lock that another thread held when the process forked would stay held in the child."""
        self._lock = threading.RLock()
