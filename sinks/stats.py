"""What the sink has done so far, for logs, metrics and benchmarks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .batch import Place


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
    lag: dict[Place, int] = field(default_factory=dict)
    """Messages not read yet, by partition, when it was last looked at."""

    def line(self) -> str:
        """The counters in one line of a log."""
        stored = ", ".join(f"{topic} {count:,}" for topic, count in sorted(self.stored.items())) or "nothing"
        letters = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.dead_letters.items())) or "none"
        return (
            f"stored: {stored}; dead letters: {letters}; skipped {self.skipped:,}; {self.inserts:,} inserts, "
            f"{1000 * self.insert_seconds / max(self.inserts, 1):.0f} ms each; lag {sum(self.lag.values()):,}"
        )
