"""Every setting of the detectors, in one frozen object with safe defaults; `rules_file.py` reads it from YAML."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from ..settings.section import Section
from .drift import DriftRules
from .fleet.rules import FleetRules
from .loops import LoopRules
from .merge import MergeRules
from .partition import FoldRules, RunRules
from .windows import WindowRules


class Rules(Section):
    """What the processors go by. What people set comes first; what only its costs depend on, last."""

    loops: LoopRules = Field(default_factory=LoopRules, description="Loops within a run.")
    drift: DriftRules = Field(default_factory=DriftRules, description="An agent's metrics against what they were.")
    fleet: FleetRules = Field(default_factory=FleetRules, description="What goes wrong in many runs at once.")
    runs: RunRules = Field(default_factory=RunRules, description="How long runs are remembered.")
    windows: WindowRules = Field(default_factory=WindowRules, description="How windows of event time are cut.")
    merge: MergeRules = Field(default_factory=MergeRules, description="How windows of all partitions come together.")

    def tracking(self, metrics: Collection[str]) -> Rules:
        """The same, watching no metric for drift that is not one of these."""
        track = tuple(one for one in self.drift.track if one in metrics)
        return self.model_copy(update={"drift": self.drift.model_copy(update={"track": track})})

    @property
    def fold(self) -> FoldRules:
        """What the fold of a partition goes by."""
        return FoldRules(loops=self.loops, windows=self.windows, runs=self.runs, fleet=self.fleet)
