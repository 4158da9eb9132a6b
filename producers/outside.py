"""Tools called outside of any run: not logged, and bound by policy and kill switch all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..control.guardrails import NO_BUDGETS
from . import fields
from .clock import Clock
from .guard.guard import Guard
from .guard.rules import Rules
from .guard.waiting import run_async, run_here
from .guard.writes import Write
from .run_log import RunInfo
from .usage import Usage


class Outside:
    """Asks the guard about calls that belong to no run, and so have neither budgets nor a memory of writes."""

    def __init__(self, rules: Rules, info: RunInfo, clock: Clock) -> None:
        self._rules = rules
        self.info = replace(info, run_id="")
        self.usage = Usage()
        self._clock = clock

    def check(self, tool: str, args: Any, writes: bool | None) -> None:
        """Returns if the call may be made. Raises `RunStopped`, `ToolDenied` or `ApprovalRequired`."""
        guard, write = self._begin(tool, args, writes)
        if write is not None:
            run_here(guard.writes.settle(write, False, guard.recheck))

    async def check_async(self, tool: str, args: Any, writes: bool | None) -> None:
        """As `check`, for functions that are awaited."""
        guard, write = self._begin(tool, args, writes)
        if write is not None:
            await run_async(guard.writes.settle(write, True, guard.recheck))

    def _begin(self, tool: str, args: Any, writes: bool | None) -> tuple[Guard, Write | None]:
        # A guard for this call alone: when what stopped it is lifted, the next one may be made.
        guard = Guard(self._rules, self, self._clock, NO_BUDGETS)
        plan = guard.tool_begins(tool, writes)
        if plan is None:
            return guard, None
        write = guard.writes.wanted(tool, plan.ruling, args, fields.hashed(args), "", None)
        write.key = None
        return guard, write
