"""When a receiver that could not be told is tried again, and what the log says of it."""

from __future__ import annotations

import logging
import random

from .senders.unsent import Unsent

FIRST_S = 1.0
LIMIT_S = 60.0
LONGEST_ASKED_S = 900.0
"""The longest wait that a receiver may ask for."""
REMIND_S = 3_600.0
HOPELESS = 4
"""How often a message is tried that the receiver understands and refuses. Then it is given up, for those behind it."""

log = logging.getLogger(__name__)


class Patience:
    """One receiver's. Times are seconds of any clock that only goes on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wait_s = FIRST_S
        self._since_s: float | None = None
        self._told_s = 0.0
        self._refusals = 0
        self.next_s = 0.0
        """Until then the receiver is left alone."""

    @property
    def is_away(self) -> bool:
        """Whether the last try failed."""
        return self._since_s is not None

    def failed(self, error: Unsent, waiting: int, now_s: float) -> bool:
        """A try failed; whether the message is to be given up. The log hears of it once, and each hour."""
        self._refusals = self._refusals + 1 if error.hopeless else 0
        gives_up = self._refusals >= HOPELESS
        if gives_up:
            self._refusals = 0
            log.error("%s will not take a message, which is given up: %s", self._name, error)
        elif self._since_s is None:
            self._since_s = self._told_s = now_s
            log.warning("%s could not be told; trying on: %s", self._name, error)
        elif now_s - self._told_s >= REMIND_S:
            self._told_s = now_s
            log.warning(
                "%s could not be told for %.0f minutes now, and %d wait: %s",
                self._name, (now_s - self._since_s) / 60, waiting, error,
            )  # fmt: skip
        asked_s = min(error.retry_after_s or 0.0, LONGEST_ASKED_S)
        # Not all at once: receivers may share what is away. Nobody gains by guessing when.
        self.next_s = now_s + max(asked_s, self._wait_s * random.uniform(0.8, 1.2))  # nosec B311
        self._wait_s = min(LIMIT_S, self._wait_s * 2)
        return gives_up

    def worked(self, waiting: int, now_s: float) -> None:
        """A try worked."""
        if self._since_s is not None:
            log.info("%s is told again after %.0f s; %d wait", self._name, now_s - self._since_s, waiting)
        self._wait_s, self._since_s, self._refusals, self.next_s = FIRST_S, None, 0, 0.0
