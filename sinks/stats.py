"""What the sink has done so far, for logs, metrics and benchmarks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..metrics.names import INSERT_SECONDS
from ..metrics.spread import Spread
from .batch import Place
from .loss import Loss


@dataclass
class Stats:
    """Counters since the start; read by anyone."""

    stored: Counter[str] = field(default_factory=Counter)
    """Rows stored, by topic."""
    skipped: int = 0
    """Messages read again and found stored already."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Messages that could not be stored, by reason."""
    inserts: int = 0
    insert_seconds: float = 0.0
    """Time spent in storing: packing, the insert itself, waiting for ClickHouse while it was away."""
    batches: int = 0
    insert_times: dict[str, Spread] = field(default_factory=dict)
    """Seconds of each insert, waiting included, by topic."""
    in_trouble: bool = False
    """Whether something is away for which a batch waits."""
    held: dict[str, bool] = field(default_factory=dict)
    """By topic, whether it is not read on since too much of it cannot be."""
    losses: dict[str, Loss] = field(default_factory=dict)
    """What is missing of the last day's runs, by agent."""
    looked_s: float = 0.0
    """When the sink last came round to look at its lag, Unix time; 0 before it reads."""
    lag: dict[Place, int] = field(default_factory=dict)
    """Messages not read yet, by partition, when it was last looked at."""

    def inserted(self, topic: str, rows: int, seconds: float) -> None:
        """An insert came to its end."""
        self.inserts += 1
        self.stored[topic] += rows
        if topic not in self.insert_times:
            self.insert_times[topic] = Spread(INSERT_SECONDS.bounds)
        self.insert_times[topic].add(seconds)

    def lost(self, losses: dict[str, Loss]) -> None:
        """It was asked what is missing."""
        self.losses = losses

    def line(self) -> str:
        """The counters in one line of a log."""
        stored = ", ".join(f"{topic} {count:,}" for topic, count in sorted(self.stored.items())) or "nothing"
        letters = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.dead_letters.items())) or "none"
        return (
            f"stored: {stored}; dead letters: {letters}; skipped {self.skipped:,}; {self.inserts:,} inserts, "
            f"{1000 * self.insert_seconds / max(self.inserts, 1):.0f} ms each; lag {sum(self.lag.values()):,}"
        )
