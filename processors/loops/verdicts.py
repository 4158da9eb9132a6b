"""Which rule a call's measures meet, and how badly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..runs import I64, Mask
from .measures import Measures
from .rules import LoopRules

WARNING, CRITICAL = 1, 2
Levels = npt.NDArray[np.uint8]

REPEAT, FAILING, CYCLE = "loop.repeat", "loop.failing", "loop.cycle"
STALE, ERROR, STAGNATION = "loop.stale", "loop.error", "loop.stagnation"
WAITING, RETRIES = "loop.waiting", "loop.retries"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that holds at a call."""

    rule: str
    level: int
    """`WARNING` or `CRITICAL`."""
    count: int
    """Calls, or rounds of the cycle."""
    period: int = 1
    """Calls a round: 1 but for cycles."""
    between: bool = False
    """Whether other calls stood between."""

    @property
    def calls(self) -> int:
        """How many of the latest calls are the evidence."""
        return self.count * self.period


@dataclass(frozen=True, slots=True)
class Held:
    """One rule, for many calls: its level at each (0 where it does not hold) and its count."""

    rule: str
    level: Levels
    count: I64
    period: int = 1
    between: bool = False

    def at(self, place: int) -> Verdict:
        """The verdict at a call where it holds."""
        return Verdict(self.rule, int(self.level[place]), int(self.count[place]), self.period, self.between)


def _levels(warning: Mask, critical: Mask) -> Levels:
    levels: Levels = warning.astype(np.uint8) * WARNING
    levels[critical] = CRITICAL
    return levels


def judge(measures: Measures, rules: LoopRules) -> Iterator[Held]:
    """Every rule that is on. Where several hold at a call, the first is the one that says most about it."""
    m, hopeless = measures, measures.poor_share >= rules.hopeless_share
    if (failing := rules.failing).enabled:
        least = np.where(m.retried, failing.retries_warning, failing.warning)
        patience = np.where(m.retried, failing.retries_critical, failing.critical)
        patience = np.where(hopeless & ~m.retried, np.minimum(patience, failing.hopeless), patience)
        yield Held(FAILING, _levels(m.failing >= least, m.failing >= patience), m.failing)
    if (repeat := rules.repeat).enabled:
        # A call that fails is the business of the rule above.
        at_once = m.eager_ms < repeat.burst
        enough = np.where(at_once, repeat.burst_critical, repeat.critical)
        known = ~m.unknown
        yield Held(
            REPEAT,
            _levels(
                np.where(known, m.eager >= repeat.warning, m.eager >= repeat.unknown_warning),
                np.where(known, m.eager >= enough, m.eager >= repeat.unknown_critical),
            ),
            m.eager,
        )
    if (cycle := rules.cycle).enabled:
        # The shortest period first: what comes round in two also comes round in four.
        for period, rounds in m.cycles.items():
            few, many = (cycle.pairs, cycle.pairs) if period == 2 else (cycle.warning, cycle.critical)
            # One call over and over comes round with any period.
            is_one = m.same >= period
            yield Held(CYCLE, _levels((rounds >= few) & ~is_one, (rounds >= many) & ~is_one), rounds, period)
    if (stale := rules.stale).enabled:
        yield Held(
            STALE,
            _levels(m.stale >= stale.warning, (m.stale >= stale.critical) | (m.poor_stale >= stale.poor)),
            m.stale,
        )
    if (error := rules.error).enabled:
        yield Held(ERROR, _levels(m.error >= error.warning, m.error >= error.critical), m.error)
        yield Held(
            ERROR,
            _levels(m.error_class >= error.class_warning, m.error_class >= error.class_critical),
            m.error_class,
        )
    if (stagnation := rules.stagnation).enabled:
        patience = np.where(hopeless, np.minimum(stagnation.hopeless, stagnation.critical), stagnation.critical)
        yield Held(STAGNATION, _levels(m.stagnant >= stagnation.warning, m.stagnant >= patience), m.stagnant)
    if repeat.enabled:
        between = np.where(m.unknown, 0, m.between)
        yield Held(
            REPEAT,
            _levels(between >= repeat.between_warning, between >= repeat.between_critical),
            between,
            between=True,
        )
    if (waiting := rules.waiting).enabled:
        yield Held(WAITING, _levels(m.same >= waiting.warning, m.same >= waiting.critical), m.same)
    if (retries := rules.retries).enabled:
        yield Held(RETRIES, _levels(m.retries >= retries.warning, m.retries >= retries.critical), m.retries)
