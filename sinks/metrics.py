"""The sink's metrics: what it stored, how long that took, what it could not store."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric as Family

from ..metrics import names
from ..metrics.families import named, single, spreads, valued
from .stats import Stats

PART = "sink"
REASONS = ("empty", "short", "magic", "schema", "avro", "refused", "key", "forged")
"""Why messages are dead letters; see `batch.Bad`."""


class SinkMetrics:
    """Tells Prometheus of `stats`, which others write."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Family]:
        """All of it, as it is now."""
        stats = self._stats
        if stats.looked_s:
            yield valued(names.TICK, [((PART,), stats.looked_s)])
        yield valued(names.LAG, [((PART, topic, str(at)), lag) for (topic, at), lag in stats.lag.items()])
        yield named(names.ROWS, stats.stored.copy())
        yield spreads(names.INSERT_SECONDS, stats.insert_times.copy())
        losses = stats.losses
        yield valued(names.AGENT_EVENTS_EXPECTED, [((agent,), loss.events) for agent, loss in losses.items()])
        yield valued(names.AGENT_EVENTS_LOST, [((agent,), loss.lost) for agent, loss in losses.items()])
        yield single(names.SKIPPED, stats.skipped)
        yield named(names.DEAD_LETTERS, dict.fromkeys(REASONS, 0) | stats.dead_letters.copy())
        yield single(names.STALLED, stats.in_trouble)
        yield valued(names.HELD, [((PART, topic), held) for topic, held in stats.held.items()])
