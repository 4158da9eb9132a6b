"""What an agent may do, as it is set before it runs: budgets, tools, writes, and how it obeys the kill switch.

The defaults are the safe ones: they are in force where nobody sets anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DefaultMode = Literal["read_only", "allow_all"]
SwitchMode = Literal["disable_writes", "stop"]
WhenLost = Literal["allow", "disable_writes"]


@dataclass(frozen=True, slots=True)
class Budgets:
    """What one run may use. None is no limit. Whichever is used up first ends the run."""

    steps: int | None = 500
    """Tool calls and model calls together."""
    tool_calls: int | None = 200
    seconds: float | None = 3_600.0
    """From the run's start."""
    tokens: int | None = 2_000_000
    """Read and written, together."""
    cost_usd: float | None = 10.0


NO_BUDGETS = Budgets(steps=None, tool_calls=None, seconds=None, tokens=None, cost_usd=None)
"""For runs that may use whatever they like."""


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """Which tools may be called. Patterns are those of `fnmatch`; upper and lower case differ."""

    default_mode: DefaultMode = "read_only"
    """`read_only`: tools that write are refused unless they are allowed otherwise."""
    allowlist: tuple[str, ...] = ()
    """Tools that may write. Those that only read need not be named."""
    blocklist: tuple[str, ...] = ()
    """Tools that are refused whatever they do."""


@dataclass(frozen=True, slots=True)
class Writes:
    """Calls that change something outside of the agent."""

    enabled: bool = False
    """Whether tools that write may be called although neither allowlist nor default mode says so."""
    tools: tuple[str, ...] = ()
    """Patterns of tools that write, beside those that are declared to."""
    require_approval: bool = True
    approval_wait: float = 0.0
    """Seconds that a write waits for its approval before it is refused."""
    idempotency: bool = True
    """The same write twice in a run is done once, and gives the first one's result."""


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """How an agent follows the control topic."""

    enabled: bool = True
    mode: SwitchMode = "disable_writes"
    """What `runwatch kill` does where it is not told."""
    on_control_lost: WhenLost = "allow"
    """What may be done once the topic has been away for `lost_after`. The last state holds in any case."""
    lost_after: float = 60.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Guardrails:
    """All that stands between an agent and its tools."""

    budgets: Budgets = field(default_factory=Budgets)
    tools: ToolPolicy = field(default_factory=ToolPolicy)
    writes: Writes = field(default_factory=Writes)
    kill_switch: KillSwitch = field(default_factory=KillSwitch)


UNGUARDED = Guardrails(
    budgets=NO_BUDGETS,
    tools=ToolPolicy(default_mode="allow_all"),
    writes=Writes(enabled=True, require_approval=False, idempotency=False),
    kill_switch=KillSwitch(enabled=False),
)
"""Nothing is refused: for replays of what has happened already, and for measuring."""
