"""Loop rules of other projects, written anew from what they are known to do; none of their code is here.

Each takes one run's tool calls in order and tells at which of them (from 0) it would first say "loop", or None.
The counts are those that the recorded runs' own README gives for each project; with them these rules come to
the figures that stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...schemas.events import AgentEvent

CYCLES = 5
LONGEST_CYCLE = 5
RECENT = 20


@dataclass(frozen=True, slots=True)
class Step:
    """A tool call as these rules see it."""

    call: tuple[str | None, str | None]
    result: tuple[str, str | None, str | None]
    failed: bool


Rule = Callable[[Sequence[Step]], bool]
"""Whether the rule holds at the end of these steps."""


def openhands(steps: Sequence[Step]) -> bool:
    """Four times the same call and result, three times the same call failing, or two steps in turn three times."""
    return (
        (len(steps) >= 4 and _same(steps[-4:]))
        or (len(steps) >= 3 and _same_call(steps[-3:]) and all(step.failed for step in steps[-3:]))
        or (len(steps) >= 6 and _same(steps[-1:-6:-2]) and _same(steps[-2:-7:-2]))
    )


def gemini_cli(steps: Sequence[Step]) -> bool:
    """The same one to five calls five times over, whatever came back."""
    return any(
        len(steps) >= period * CYCLES
        and all(steps[-place].call == steps[-place - period].call for place in range(1, period * (CYCLES - 1) + 1))
        for period in range(1, LONGEST_CYCLE + 1)
    )


def roo_code(steps: Sequence[Step]) -> bool:
    """The same call four times in a row."""
    return len(steps) >= 4 and _same_call(steps[-4:])


def cline(steps: Sequence[Step]) -> bool:
    """The same call five times in a row."""
    return len(steps) >= 5 and _same_call(steps[-5:])


def langsight(steps: Sequence[Step]) -> bool:
    """The same call three times in a row, two calls in turn three times, or one failing three times in twenty."""
    if len(steps) >= 3 and _same_call(steps[-3:]):
        return True
    if len(steps) >= 6 and _same_call(steps[-1:-6:-2]) and _same_call(steps[-2:-7:-2]):
        return True
    return sum(step.failed and step.call == steps[-1].call for step in steps[-RECENT:]) >= 3


LOOP_RULES: Mapping[str, Rule] = {
    "OpenHands": openhands,
    "Gemini CLI": gemini_cli,
    "Roo Code": roo_code,
    "LangSight": langsight,
    "Cline": cline,
}


def first_alert(rule: Rule, calls: Sequence[AgentEvent]) -> int | None:
    """The place of the call at which the rule first holds."""
    steps = [
        Step((call.tool, call.args_sha), (call.status, call.error, call.result_sha), call.status == "error")
        for call in calls
    ]
    return next((at for at in range(len(steps)) if rule(steps[: at + 1])), None)


def _same(steps: Sequence[Step]) -> bool:
    return all(step == steps[0] for step in steps)


def _same_call(steps: Sequence[Step]) -> bool:
    return all(step.call == steps[0].call for step in steps)
