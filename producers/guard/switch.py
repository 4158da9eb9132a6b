"""The kill switch as one run sees it: what stands in the control topic for it, its agent and its tools."""

from __future__ import annotations

import threading
from typing import Protocol

from ...control.guardrails import KillSwitch
from ...control.scopes import FLEET, agent_scope, approval_scope, run_scope, tool_scope, version_scope
from ...control.state import ControlState
from ...schemas import reasons
from ...schemas.controls import Control
from ..clock import Clock

LOOPS = "policy:loop."
"""The policy's rules for loops; what they stop ends with a reason of its own."""


class ControlSource(Protocol):
    """What follows the control topic: `control.follow.Follower`, or a stand-in."""

    @property
    def state(self) -> ControlState:
        """What stands in the topic."""

    def wait_loaded(self, timeout_s: float) -> bool:
        """Waits until the topic was read to its end; False where that took too long."""

    def lost_for_s(self) -> float:
        """Seconds since the topic was last known to answer; 0.0 while it does."""

    def close(self) -> None:
        """Ends the following."""

    def after_fork(self) -> None:
        """Goes on in a forked child."""


class Switch:
    """What is in force for one run, kept until something changes."""

    __slots__ = ("_clock", "_lock", "_scopes", "_seen", "_settings", "_source", "_state", "standing", "until_ms")

    def __init__(
        self, source: ControlSource, settings: KillSwitch, clock: Clock, agent: str, version: str | None, run_id: str
    ) -> None:
        self._source = source
        self._state = source.state
        self._settings = settings
        self._clock = clock
        self._scopes = [FLEET, agent_scope(agent)]
        if version is not None:
            self._scopes.append(version_scope(agent, version))
        if run_id:
            self._scopes.append(run_scope(run_id))
        self._lock = threading.Lock()
        self._seen = -1
        self.standing: Control | None = None
        """The strictest command for the run; None where nothing is forbidden."""
        self.until_ms: int | None = None
        """When the first of what was looked up ends by itself."""

    def changed(self) -> bool:
        """Looks anew if anything may have changed since the last look; True if it did."""
        if self._state.version == self._seen and (self.until_ms is None or self._clock.now_ms() < self.until_ms):
            return False
        # One at a time: of two that look at once, the one who saw less might write last.
        with self._lock:
            # Taken before the look: what changes during it is looked at once more.
            self._seen = self._state.version
            self.until_ms = None
            self.standing = self._strictest(self._scopes)
        return True

    def of_tool(self, tool: str) -> Control | None:
        """The strictest command for a tool, or for the run."""
        with self._lock:
            return self._strictest([*self._scopes, tool_scope(tool)])

    def approval(self, approval_id: str) -> Control | None:
        """What a person has answered to a write that waits, if one has."""
        return self._state.standing(approval_scope(approval_id), self._clock.now_ms())

    def writes_lost(self) -> bool:
        """Whether writes are off because the control topic has been away for too long."""
        its = self._settings
        return its.on_control_lost == "disable_writes" and self._source.lost_for_s() > its.lost_after

    def after_fork(self, run_id: str) -> None:
        """The child's run obeys what is said to it, and what is said to its parent's."""
        self._lock = threading.Lock()
        self._scopes.append(run_scope(run_id))
        self._seen = -1

    def _strictest(self, scopes: list[str]) -> Control | None:
        found = self._state.strictest(scopes, self._clock.now_ms())
        if found is not None and found.expires_ms is not None:
            self.until_ms = found.expires_ms if self.until_ms is None else min(self.until_ms, found.expires_ms)
        return found


def stop_reason(control: Control) -> str:
    """Why a run ends that a command stops."""
    return reasons.LOOP_DETECTED if control.by.startswith(LOOPS) else reasons.KILLED


def who_and_why(control: Control) -> str:
    """Who gave a command, and why, and how it is lifted."""
    lift = f"`runwatch allow {control.scope} --why ...` lifts it"
    return f"by {control.by} ({control.scope}): {control.why.rstrip('. ')}. {lift}"
