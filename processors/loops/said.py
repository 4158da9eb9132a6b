"""What was said of a run: once that it loops, once that it is bad."""

from __future__ import annotations

from typing import Literal

from ..runs import RunTable
from .verdicts import CRITICAL, CYCLE, ERROR, FAILING, REPEAT, RETRIES, STAGNATION, STALE, WAITING, WARNING

RUNAWAY = "loop.runaway"
_BITS = {
    rule: 1 << at
    for at, rule in enumerate((FAILING, REPEAT, CYCLE, STALE, ERROR, STAGNATION, WAITING, RETRIES, RUNAWAY))
}
# A run is said to loop once, whichever of these rules hold. That it retries, or runs away, is another matter.
_LOOPS = sum(_BITS[rule] for rule in (FAILING, REPEAT, CYCLE, STALE, ERROR, STAGNATION, WAITING))
_CRITICAL_SHIFT = 16


def say(table: RunTable, row: int, rule: str, level: int) -> Literal["open", "escalated"] | None:
    """Whether that is news of the run, and which; notes it. None where as much was said before."""
    fired, bit = int(table.fired[row]), _BITS[rule]
    family = _LOOPS if bit & _LOOPS else bit
    if fired & family << _CRITICAL_SHIFT or (level == WARNING and fired & family):
        return None
    table.fired[row] = fired | bit | (bit << _CRITICAL_SHIFT if level == CRITICAL else 0)
    return "escalated" if level == CRITICAL and fired & bit else "open"


def is_said(table: RunTable, row: int, rule: str) -> bool:
    """Whether the worst of it was said of the run."""
    return bool(int(table.fired[row]) >> _CRITICAL_SHIFT & _BITS[rule])


def looped(table: RunTable, row: int) -> bool:
    """Whether anything critical was said of the run."""
    return bool(int(table.fired[row]) >> _CRITICAL_SHIFT)
