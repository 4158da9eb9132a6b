"""One log line when something is away, one now and then while it stays away, one when it is back."""

from __future__ import annotations

import logging
from collections.abc import Callable

REMIND_S = 60.0


class Trouble:
    """Tells of one kind of trouble without telling every second."""

    def __init__(self, log: logging.Logger, what: str, clock: Callable[[], float]) -> None:
        """`what`: the subject of the line that says it is over, such as `ClickHouse`."""
        self._log = log
        self._what = what
        self._clock = clock
        self._since: float | None = None
        self._told = 0.0

    @property
    def on(self) -> bool:
        return self._since is not None

    def begin(self, message: str) -> None:
        """The trouble is there, or still there."""
        now = self._clock()
        if self._since is None:
            self._since = self._told = now
            self._log.warning("%s", message)
        elif now - self._told >= REMIND_S:
            self._told = now
            self._log.warning("for %.0f s now: %s", now - self._since, message)

    def end(self) -> None:
        """It works."""
        if self._since is not None:
            self._log.info("%s is back after %.1f s", self._what, self._clock() - self._since)
            self._since = None
