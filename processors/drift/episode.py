"""An episode: what stands open, from its onset to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...schemas.anomalies import Severity, State
from .baseline import Baseline

How = Literal["factor", "step", "creep", "mix", "fall", "back", "silent", "accepted"]
"""What opened an episode (a multiple, a small step, a slow climb, another mix, a fall), or how it ended."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What an episode comes to: levels are logarithms, as everywhere in here."""

    state: State
    how: How
    severity: Severity
    onset_ms: int
    ts_ms: int
    level: float
    usual: float
    is_seasonal: bool = False
    """Whether `usual` is that of the time of day."""
    anomaly_id: str = ""
    """Of the episode, where it is open already."""


@dataclass(slots=True)
class Episode:
    """One that is open."""

    anomaly_id: str
    how: How
    severity: Severity
    onset_ms: int
    opened_ms: int
    level: float
    usual: float
    after: Baseline
    """What was measured since it opened: the new normal, should it last."""
    covered_ms: int = field(default=0)
    """Of one that is not spoken of, since another says the same: until when it is not."""
    checked_ms: int = field(default=0)
    """When it was last asked whether it still climbs, and its level beside the usual then."""
    checked_apart: float = field(default=0.0)

    @property
    def is_told(self) -> bool:
        """Whether it was spoken of."""
        return bool(self.anomaly_id)

    @property
    def sign(self) -> int:
        """1 where what is measured went up, -1 where it fell."""
        return -1 if self.how == "fall" else 1
