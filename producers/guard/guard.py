"""The guard of one run: asked before every call, from memory alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ...control.guardrails import Budgets
from ...schemas.controls import Control
from ..clock import Clock
from .budgets import Meter
from .policy import Ruling
from .refusals import RunStopped, ToolDenied, denied
from .rules import Logged, Rules
from .switch import Switch, stop_reason, who_and_why
from .writes import Writes

MOST_TOOLS = 1_024
"""Tools whose ruling is remembered: a model may invent any number of names."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about calls of a tool that are not simply made."""

    tool: str
    ruling: Ruling
    command: Control | None
    """The strictest command that binds them."""


class Guard:
    """Counts a run's calls and says which may be made. Threads and tasks may use it at once."""

    def __init__(self, rules: Rules, log: Logged, clock: Clock, budgets: Budgets | None) -> None:
        """`budgets` in the place of the rules' own."""
        info = log.info
        self._rules = rules
        self._log = log
        self._clock = clock
        self._budgets = rules.guardrails.budgets if budgets is None else budgets
        self._meter = Meter(self._budgets, clock)
        self._switch = (
            None
            if rules.source is None
            else Switch(rules.source, rules.guardrails.kill_switch, clock, info.agent, info.agent_version, info.run_id)
        )
        self.writes = Writes(rules, log, self._switch)
        """What becomes of those that may be made."""
        self._plans: dict[tuple[str, bool | None], Plan | None] = {}
        self._lock = threading.Lock()
        self._end: RunStopped | None = None

    @property
    def end(self) -> str | None:
        """The stop reason, once the guard has ended the run."""
        return None if self._end is None else self._end.stop_reason

    def tool_begins(self, tool: str, writes: bool | None) -> Plan | None:
        """Counts a call of a tool; None where it may just be made, a plan where it is a write that may be.

        Raises `RunStopped` or `ToolDenied`.
        """
        if self._end is not None:
            raise self._ended(tool)
        reason = self._meter.tool_begins(self._log.usage)
        if reason is not None:
            raise self._used_up(reason, tool)
        switch = self._switch
        if switch is not None:
            if switch.changed():
                self._plans = {}
            if switch.standing is not None:
                self._obey(switch.standing, tool)
        try:
            plan = self._plans[tool, writes]
        except KeyError:
            plan = self._planned(tool, writes)
        if plan is not None:
            self._permit(plan)
        return plan

    def model_begins(self) -> None:
        """Counts a call of a model. Raises `RunStopped`."""
        if self._end is not None:
            raise self._ended(None)
        reason = self._meter.model_begins(self._log.usage)
        if reason is not None:
            raise self._used_up(reason, None)
        self._check_switch(None)

    def check(self) -> None:
        """Raises `RunStopped` where the next call would be refused because the run is over; counts nothing."""
        if self._end is not None:
            raise self._ended(None)
        reason = self._meter.used_up(self._log.usage)
        if reason is not None:
            raise self._used_up(reason, None)
        self._check_switch(None)

    def tool_happened(self) -> None:
        """Counts a call of a tool that was made elsewhere."""
        self._meter.tool_begins(self._log.usage)

    def model_happened(self) -> None:
        """The same of a model."""
        self._meter.model_begins(self._log.usage)

    def recheck(self, tool: str) -> None:
        """Whether a write may still be made, after it had to wait. Raises as `tool_begins`; counts nothing."""
        self._check_switch(tool)
        plan = self._planned(tool, True)
        assert plan is not None  # it writes
        self._permit(plan)

    # -- what is refused ---------------------------------------------------------------------------

    def _planned(self, tool: str, writes: bool | None) -> Plan | None:
        # Those of now: if something changes during the look, what is found is put where nobody looks any more.
        plans = self._plans
        ruling = self._rules.policy.ruling(tool, writes)
        command = None if self._switch is None else self._switch.of_tool(tool)
        plan = None
        if ruling.writes or ruling.denied or (command is not None and command.mode == "stop"):
            plan = Plan(tool, ruling, command)
        if len(plans) >= MOST_TOOLS:
            plans.clear()
        plans[tool, writes] = plan
        return plan

    def _permit(self, plan: Plan) -> None:
        ruling, command = plan.ruling, plan.command
        if ruling.denied is not None:
            raise self._denied(plan.tool, ruling.denied)
        if command is not None and command.mode == "stop":
            raise self._denied(plan.tool, f"it is stopped {who_and_why(command)}", command.scope)
        if command is not None:
            raise self._denied(plan.tool, f"it writes, and writes are disabled {who_and_why(command)}", command.scope)
        if self._switch is not None and self._switch.writes_lost():
            its = self._rules.guardrails.kill_switch
            raise self._denied(
                plan.tool,
                f"it writes, and the control topic has not answered for more than {its.lost_after:g} s, after which"
                " this agent may only read (guardrails: kill_switch.on_control_lost). Is the broker up?",
            )

    def _check_switch(self, tool: str | None) -> None:
        switch = self._switch
        if switch is not None:
            if switch.changed():
                self._plans = {}
            if switch.standing is not None:
                self._obey(switch.standing, tool)

    def _obey(self, command: Control, tool: str | None) -> None:
        if command.mode == "stop":
            raise self._stopped(
                stop_reason(command),
                f"it was stopped {who_and_why(command)} for runs to come",
                command.scope,
                tool,
            )

    def _used_up(self, reason: str, tool: str | None) -> RunStopped:
        return self._stopped(reason, self._meter.sentence(reason), None, tool)

    def _stopped(self, reason: str, why: str, scope: str | None, tool: str | None) -> RunStopped:
        """The run is over; the first to say so says why."""
        info = self._log.info
        with self._lock:
            if self._end is None:
                who = f"Run {info.run_id} of agent {info.agent!r}" if info.run_id else f"Agent {info.agent!r}"
                self._end = RunStopped(
                    f"{who} is stopped: {why}.",
                    stop_reason=reason,
                    run_id=info.run_id,
                    scope=scope,
                )
        return self._ended(tool)

    def _ended(self, tool: str | None) -> RunStopped:
        end = self._end
        assert end is not None
        # Each raise its own: a traceback would grow with every raise of the same.
        return RunStopped(str(end), stop_reason=end.stop_reason, run_id=end.run_id, tool=tool or None, scope=end.scope)

    def _denied(self, tool: str, why: str, scope: str | None = None) -> ToolDenied:
        return denied(self._log.info.run_id, tool, why, scope)

    def after_fork(self) -> None:
        """In a child, whose run is one of its own, with budgets of its own; what is said to the parent's binds it too.

        A run that was over stays over.
        """
        self._lock = threading.Lock()
        self._meter = Meter(self._budgets, self._clock)
        if self._switch is not None:
            self._switch.after_fork(self._log.info.run_id)
        self.writes.after_fork()
