"""The alerts' metrics: what was told to each receiver, and how soon."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from prometheus_client import Metric as Family

from ..metrics import names
from ..metrics.families import named, spreads, valued
from .deliver import Stats
from .report import PART

_VALUES = {
    "sent": names.ALERTS_SENT,
    "failed": names.ALERTS_FAILED,
    "given_up": names.ALERTS_GIVEN_UP,
    "waiting": names.ALERTS_WAITING,
    "is_away": names.ALERTS_AWAY,
}


class AlertMetrics:
    """Tells Prometheus of `stats`, which others write."""

    def __init__(self, stats: Mapping[str, Stats]) -> None:
        """`stats`: by receiver; receivers may still be added."""
        self._stats = stats

    def collect(self) -> Iterator[Family]:
        """All of it, as it is now."""
        stats = dict(self._stats)
        yield valued(names.TICK, [((PART,), time.time())])
        for name, metric in _VALUES.items():
            yield named(metric, {receiver: float(getattr(one, name)) for receiver, one in stats.items()})
        yield spreads(names.ALERT_DELAY, {receiver: one.delays for receiver, one in stats.items()})
