"""A run's budgets: what it has begun and used, against what it may."""

from __future__ import annotations

import itertools
import math

from ...control.guardrails import Budgets
from ...schemas import reasons
from ..clock import Clock
from ..usage import Usage

_SETTINGS = {
    reasons.MAX_STEPS: ("steps", "{:,} steps"),
    reasons.MAX_TOOL_CALLS: ("tool_calls", "{:,} tool calls"),
    reasons.MAX_SECONDS: ("seconds", "{:,g} seconds"),
    reasons.MAX_TOKENS: ("tokens", "{:,} tokens"),
    reasons.MAX_COST: ("cost_usd", "{:,g} US dollars"),
}


class Meter:
    """Counts the calls of one run as they begin, so that calls side by side cannot overshoot."""

    __slots__ = ("_budgets", "_calls", "_clock", "_cost", "_deadline", "_steps", "_tokens", "calls", "steps")

    def __init__(self, budgets: Budgets, clock: Clock) -> None:
        """The run begins now."""
        self._budgets = budgets
        self._clock = clock
        self._deadline = math.inf if budgets.seconds is None else clock.monotonic() + budgets.seconds
        self._tokens = _limit(budgets.tokens)
        self._cost = _limit(budgets.cost_usd)
        # To take a number from a counter is one step of the interpreter: no two threads get the same.
        self._steps = itertools.count(1)
        self._calls = itertools.count(1)
        self.steps = 0
        """Calls of tools and models begun so far, those that were refused among them."""
        self.calls = 0
        """The same, of tools alone."""

    def tool_begins(self, usage: Usage) -> str | None:
        """Counts a tool call; the stop reason if a budget forbids it. `usage` is what the run has used so far."""
        self.steps = steps = next(self._steps)
        self.calls = calls = next(self._calls)
        budgets = self._budgets
        if budgets.steps is not None and steps > budgets.steps:
            return reasons.MAX_STEPS
        if budgets.tool_calls is not None and calls > budgets.tool_calls:
            return reasons.MAX_TOOL_CALLS
        if self._clock.monotonic() >= self._deadline:
            return reasons.MAX_SECONDS
        # Whether it is tokens or cost is for `_used_up` to say.
        return self._used_up(usage) if usage.tokens >= self._tokens or usage.spent_usd >= self._cost else None

    def model_begins(self, usage: Usage) -> str | None:
        """Counts a model call; as `tool_begins`."""
        self.steps = steps = next(self._steps)
        if self._budgets.steps is not None and steps > self._budgets.steps:
            return reasons.MAX_STEPS
        return self._used_up(usage)

    def used_up(self, usage: Usage) -> str | None:
        """The stop reason if a next call would be forbidden; counts nothing."""
        budgets = self._budgets
        if budgets.steps is not None and self.steps >= budgets.steps:
            return reasons.MAX_STEPS
        if budgets.tool_calls is not None and self.calls >= budgets.tool_calls:
            return reasons.MAX_TOOL_CALLS
        return self._used_up(usage)

    def sentence(self, reason: str) -> str:
        """Which budget is used up, and where it is set."""
        name, text = _SETTINGS[reason]
        return (
            f"its budget of {text.format(getattr(self._budgets, name))} is used up. See why it needs so much; the"
            f" budget is guardrails.budgets.{name}, or run(budgets=...)"
        )

    def _used_up(self, usage: Usage) -> str | None:
        if self._clock.monotonic() >= self._deadline:
            return reasons.MAX_SECONDS
        if usage.tokens >= self._tokens:
            return reasons.MAX_TOKENS
        if usage.spent_usd >= self._cost:
            return reasons.MAX_COST
        return None


def _limit(budget: float | None) -> float:
    return math.inf if budget is None else budget
