"""The policy: which anomalies lead to which actions."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from ..schemas.anomalies import Anomaly, Severity
from ..schemas.rule_names import AGENT_RULES, NEVER_CRITICAL, POLICY_RULES, RULES, RUN_RULES, matching, nearest
from .section import Duration, Section

Action = Literal["ignore", "notify", "disable_writes", "stop_run", "stop_agent"]

HOUR_MS = 3_600_000
SEVERITIES: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "critical": 2}
_STOPS = ("stop_run", "stop_agent")
_APPLIES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "disable_writes": ((*RUN_RULES, *AGENT_RULES), "no single run or agent"),
    "stop_run": (RUN_RULES, "no run"),
    "stop_agent": ((*RUN_RULES, *AGENT_RULES), "no single agent"),
}
"""Of each action that commands, the rules whose anomalies name what it needs, and what the others do not name."""


class PolicyRule(Section):
    """What is done about some anomalies."""

    rule: Annotated[str, Field(min_length=1, description="Which rules, such as loop.repeat, loop.* or *.")]
    action: Annotated[
        Action,
        Field(
            description="What is done: ignore; notify; disable_writes of the run, or of the agent where no single run "
            "is to blame; stop_run; stop_agent. What does more notifies as well."
        ),
    ]
    severity: Severity | None = Field(
        None, description="Least severity. Left out: critical for what stops, warning for the rest."
    )
    agents: str = Field("*", min_length=1, description="Which agents, such as support-*.")
    duration: Duration = Field(HOUR_MS, ge=60_000, le=7 * 24 * HOUR_MS, description="How long what is commanded holds.")
    most_runs_an_hour: int = Field(
        100,
        ge=1,
        le=100_000,
        description="How many runs (or agents) may be commanded within an hour; a bad rule must not end a fleet.",
    )

    @field_validator("rule")
    @classmethod
    def _known(cls, pattern: str) -> str:
        if not matching(pattern):
            raise ValueError(f"there is no such rule; {nearest(pattern)}")
        return pattern

    @field_validator("action")
    @classmethod
    def _applies(cls, action: Action, info: ValidationInfo) -> Action:
        if action not in _APPLIES or "rule" not in info.data:
            return action
        pattern = info.data["rule"]
        applies, lacks = _APPLIES[action]
        matched = matching(pattern, (rule for rule in RULES if rule not in POLICY_RULES))
        if beside := [rule for rule in matched if rule not in applies]:
            raise ValueError(
                f"it cannot be done about {beside[0]}{f' (nor {len(beside) - 1} others)' if beside[1:] else ''}, "
                f"which names {lacks}; say which rules it is for"
            )
        if not matched:
            raise ValueError(f"nothing but notify or ignore is done about {pattern}")
        if action in _STOPS and NEVER_CRITICAL.issuperset(matched):
            raise ValueError(f"only what is critical may stop, and {matched[0]} never is")
        return action

    @field_validator("severity")
    @classmethod
    def _critical(cls, severity: Severity | None, info: ValidationInfo) -> Severity | None:
        if severity not in (None, "critical") and info.data.get("action") in _STOPS:
            raise ValueError(f"only what is critical may stop, so that {info.data['action']} asks for critical")
        return severity

    @property
    def least(self) -> Severity:
        """The least severity that it is for."""
        return self.severity or ("critical" if self.action in _STOPS else "warning")

    @property
    def commands(self) -> bool:
        """Whether agents are told to do less."""
        return self.action in _APPLIES

    def matches(self, anomaly: Anomaly) -> bool:
        """Whether it is for this anomaly."""
        return (
            fnmatchcase(anomaly.rule, self.rule)
            and fnmatchcase(anomaly.agent, self.agents)
            and SEVERITIES[anomaly.severity] >= SEVERITIES[self.least]
        )


DEFAULT: Final = (
    PolicyRule(rule="loop.*", action="stop_run", severity="critical"),
    PolicyRule(rule="*", action="notify", severity="warning"),
)


class Policy(Section):
    """What is done about anomalies."""

    enabled: bool = Field(True, description="Whether anything is commanded; who wants to be notified is either way.")
    dry_run: bool = Field(
        False, description="Commands are only noted, in the audit: what would have been done, and nobody obeys it."
    )
    rules: tuple[PolicyRule, ...] = Field(
        DEFAULT,
        description="What is done about which anomalies: the first entry counts whose rule, agents and severity match, "
        "and what none matches is ignored. Each has rule and action, and may have severity (the least: critical for "
        "what stops, else warning), agents, duration (1h) and most_runs_an_hour (100).",
    )

    def entry(self, anomaly: Anomaly) -> PolicyRule | None:
        """The entry that counts for an anomaly; None where none matches."""
        return next((one for one in self.rules if one.matches(anomaly)), None)

    def action(self, anomaly: Anomaly) -> Action:
        """What is to be done about an anomaly. Whoever notifies does so for anything but `ignore`."""
        entry = self.entry(anomaly)
        if entry is None:
            return "ignore"
        if entry.commands and (not self.enabled or anomaly.rule in POLICY_RULES):
            return "notify"
        return entry.action

    @property
    def longest_ms(self) -> int:
        """How long anything that is commanded may hold, in whole hours."""
        longest = max((one.duration for one in self.rules if one.commands), default=0)
        return max(1, -(-longest // HOUR_MS)) * HOUR_MS
