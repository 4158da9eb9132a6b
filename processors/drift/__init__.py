"""Drift: an agent's metrics held against what they usually are.

`metrics` says what is measured, `baseline` what is usual, `track` follows one metric, `mix` a mix, and `judge` all of
them: windows in, episodes out.
"""

from .judge import DriftJudge
from .rules import DriftRules

__all__ = ["DriftJudge", "DriftRules"]
