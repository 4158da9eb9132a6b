"""Guardrails as people set them; the defaults are those of `control.guardrails`, which hold without any file."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from ..control import guardrails as control
from .section import LONGEST_MS, Duration, Seconds, Section

_BUDGETS: Final = control.Budgets()
_TOOLS: Final = control.ToolPolicy()
_WRITES: Final = control.Writes()
_SWITCH: Final = control.KillSwitch()


Pattern = Annotated[str, Field(min_length=1)]


class BudgetSettings(Section):
    """What one run may use."""

    steps: Annotated[int, Field(ge=1)] | None = Field(
        default=_BUDGETS.steps, description="Tool calls and model calls together."
    )
    tool_calls: Annotated[int, Field(ge=1)] | None = Field(default=_BUDGETS.tool_calls, description="Tool calls.")
    seconds: Annotated[Seconds, Field(ge=0.001, le=LONGEST_MS / 1000)] | None = Field(
        default=_BUDGETS.seconds, description="Time since the run began, such as 30m."
    )
    tokens: Annotated[int, Field(ge=1)] | None = Field(
        default=_BUDGETS.tokens, description="Tokens read and written, together."
    )
    cost_usd: Annotated[float, Field(gt=0)] | None = Field(default=_BUDGETS.cost_usd, description="US dollars.")


class ToolSettings(Section):
    """Which tools may be called."""

    default_mode: control.DefaultMode = Field(
        default=_TOOLS.default_mode,
        description="read_only: tools that write are refused unless something below lets them. allow_all: they may.",
    )
    allowlist: tuple[Pattern, ...] = Field(
        default=_TOOLS.allowlist,
        description="Tools that may write, such as ticket.*. Tools that only read need not be named.",
    )
    blocklist: tuple[Pattern, ...] = Field(
        default=_TOOLS.blocklist, description="Tools that are refused whatever they do."
    )


class WriteSettings(Section):
    """Calls that change something outside of the agent."""

    enabled: bool = Field(
        default=_WRITES.enabled,
        description="Whether tools may write although neither the allowlist nor the default mode lets them.",
    )
    tools: tuple[Pattern, ...] = Field(
        default=_WRITES.tools,
        description="Tools that write, such as *.send, beside those that the code declares to.",
    )
    require_approval: bool = Field(
        default=_WRITES.require_approval,
        description="Whether each write needs somebody's word: a callback's, or `runwatch approve`.",
    )
    approval_wait: Duration = Field(
        default=round(_WRITES.approval_wait * 1000),
        ge=0,
        le=86_400_000,
        description="How long a write waits for it before it is refused.",
    )
    idempotency: bool = Field(
        default=_WRITES.idempotency,
        description="Whether the same write twice in a run is done once, and gives the first one's result.",
    )


class GuardrailSettings(Section):
    """What stands between an agent and its tools."""

    budgets: BudgetSettings = Field(
        default_factory=BudgetSettings,
        description="What one run may use; null is no limit. Whichever is used up first ends the run.",
    )
    tools: ToolSettings = Field(
        default_factory=ToolSettings,
        description="Which tools may be called. Names may have * and ? in them; upper and lower case differ.",
    )
    writes: WriteSettings = Field(
        default_factory=WriteSettings, description="Calls that change something outside of the agent."
    )


class SwitchSettings(Section):
    """How an agent follows the control topic."""

    enabled: bool = Field(
        default=_SWITCH.enabled, description="Whether agents follow the control topic, and obey `runwatch kill`."
    )
    mode: control.SwitchMode = Field(
        default=_SWITCH.mode, description="What `runwatch kill` does where it is not told."
    )
    on_control_lost: control.WhenLost = Field(
        default=_SWITCH.on_control_lost,
        description="What may be done once the topic has been away for so long. The last state holds in any case.",
    )
    lost_after: Duration = Field(default=round(_SWITCH.lost_after * 1000), ge=1_000, description="How long that is.")


class ControlSettings(Section):
    """How people and the policy step in."""

    kill_switch: SwitchSettings = Field(
        default_factory=SwitchSettings, description="Stops the fleet, an agent, a version, a tool or one run."
    )


def guardrails(settings: GuardrailSettings, controls: ControlSettings) -> control.Guardrails:
    """The same as an agent goes by it."""
    budgets, tools, writes, switch = settings.budgets, settings.tools, settings.writes, controls.kill_switch
    return control.Guardrails(
        budgets=control.Budgets(
            steps=budgets.steps,
            tool_calls=budgets.tool_calls,
            seconds=budgets.seconds,
            tokens=budgets.tokens,
            cost_usd=budgets.cost_usd,
        ),
        tools=control.ToolPolicy(default_mode=tools.default_mode, allowlist=tools.allowlist, blocklist=tools.blocklist),
        writes=control.Writes(
            enabled=writes.enabled,
            tools=writes.tools,
            require_approval=writes.require_approval,
            approval_wait=writes.approval_wait / 1000,
            idempotency=writes.idempotency,
        ),
        kill_switch=control.KillSwitch(
            enabled=switch.enabled,
            mode=switch.mode,
            on_control_lost=switch.on_control_lost,
            lost_after=switch.lost_after / 1000,
        ),
    )
