"""What a partition's fold has met: how much, and how much of it was amiss."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class FoldCounts:
    """Counts since the fold began; what is amiss is counted, and does no harm."""

    events: int = 0
    repeats: int = 0
    """Events that were seen before: resent, and not counted again."""
    anomalies: int = 0
    missing: int = 0
    """Places left empty in runs that stopped: events that were lost on the way, or that came after their run's stop."""
    unfinished: int = 0
    """Runs that were forgotten without a stop."""
    ahead: int = 0
    """Events whose time lies further ahead of the broker's than a clock can be wrong."""
    ancient: int = 0
    """Events from before the year 2000: from a clock that was never set."""
    backwards: int = 0
    """Events more than a minute older than their run's first."""
    nameless: int = 0
    """Tool calls without a tool's name."""

    def __add__(self, other: FoldCounts) -> FoldCounts:
        return FoldCounts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __sub__(self, other: FoldCounts) -> FoldCounts:
        return FoldCounts(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(self)))
