"""Every threshold of the processors, in one frozen object with safe defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from .drift import DriftRules
from .merge import MergeRules
from .partition import FoldRules


@dataclass(frozen=True, slots=True)
class Rules:
    """What the fold, the merging of windows and the judging of drift go by."""

    fold: FoldRules = field(default_factory=FoldRules)
    merge: MergeRules = field(default_factory=MergeRules)
    drift: DriftRules = field(default_factory=DriftRules)
    drift_stretch_ms: int = 3_600_000
    """Stretch of log time by which the window topic is replayed: one to two of them make a baseline."""
    send_every_ms: int = 3_000
    """How often a partition's changed window parts are sent."""
