"""When a service that died is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Waits that double from `first_s` up to `limit_s`, and start over after a life of `healthy_s`. Seconds."""

    first_s: float = 0.5
    limit_s: float = 30.0
    healthy_s: float = 30.0
    _next_s: float = 0.0

    def after(self, lived_s: float) -> float:
        """How long to wait before the next start, the last having lived `lived_s`."""
        if self._next_s == 0.0 or lived_s >= self.healthy_s:
            self._next_s = self.first_s
        wait = self._next_s
        self._next_s = min(self.limit_s, wait * 2)
        return wait
