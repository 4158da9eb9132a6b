"""What of an agent's doings leaves its process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Which events are sent, and with which fields. The defaults are in force where nobody sets anything."""

    events: bool = True
    """False: no event leaves the agent. Budgets and the guard go on."""
    left_out: frozenset[str] = frozenset()
    """Fields of `AgentEvent` that are sent empty: null, or `none` of a status."""
    refusals: bool = True
    """Whether a call that was refused is an event."""
