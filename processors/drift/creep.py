"""A memory of small deviations: each says little, all together they do.

Source: Page: Continuous Inspection Schemes, Biometrika 41, 1954 (CUSUM). Each deviation counts up to `CLIP`: a
single huge one proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

CLIP = 3.0
ALLOWANCE = 0.5
"""Deviations below it make the sum smaller: half of the least change that is looked for, in standard deviations."""
LIMIT = 12.0
"""By chance alone reached once in some 160,000 measurements: exp(2 x ALLOWANCE x LIMIT)."""


@dataclass(slots=True)
class Cusum:
    """Sum of deviations above the allowance since it was last zero."""

    total: float = 0.0
    since_ms: int = 0
    """When it was last zero: where what it saw began."""

    def step(self, score: float, start_ms: int) -> bool:
        """Adds a deviation, in standard deviations; says whether there is evidence of a change."""
        if self.total <= 0:
            self.since_ms = start_ms
        self.total = max(0.0, self.total + min(score, CLIP) - ALLOWANCE)
        return self.total >= LIMIT

    def clear(self) -> None:
        self.total = 0.0
