"""The rules that anomalies are told by: all of them, and what each is about. Policies and alerts name them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

RUN_RULES: Final = (
    "loop.repeat",
    "loop.failing",
    "loop.cycle",
    "loop.stale",
    "loop.error",
    "loop.stagnation",
    "loop.waiting",
    "loop.retries",
    "loop.runaway",
)
"""About one run of one agent."""

AGENT_RULES: Final = (
    "drift.tool_calls_per_run",
    "drift.tool_calls_per_run_p95",
    "drift.latency_p95",
    "drift.spend_per_run",
    "drift.tokens_per_request",
    "drift.spend_per_token",
    "drift.retries_per_call",
    "drift.error_rate",
    "drift.success",
    "drift.outcome",
    "drift.spend_per_good_outcome",
    "drift.call_latency_p95",
    "drift.rate_limited",
    "drift.stop_reason_mix",
    "drift.tool_mix",
    "drift.fall",
)
"""About one agent, or one version or tool of it."""

FLEET_RULES: Final = ("fleet.failing", "fleet.retries", "fleet.timeouts", "fleet.handoff")
"""About many runs, mostly of several agents."""

CAPPED: Final = "policy.capped"
POLICY_RULES: Final = (CAPPED,)
"""About the policy itself; no policy acts upon them."""

RULES: Final = (*RUN_RULES, *AGENT_RULES, *FLEET_RULES, *POLICY_RULES)

NEVER_CRITICAL: Final = frozenset({"drift.stop_reason_mix", "drift.tool_mix", "drift.fall"})
"""Rules whose anomalies are warnings at the worst."""


def matching(pattern: str, rules: Iterable[str] = RULES) -> list[str]:
    """The rules that a pattern names, such as `loop.*`; in their order."""
    return [rule for rule in rules if fnmatchcase(rule, pattern)]


def nearest(pattern: str) -> str:
    """What may have been meant by a pattern that names no rule, as the end of a sentence."""
    if near := get_close_matches(pattern, RULES, 1, 0.7):
        return f"did you mean {near[0]}?"
    families = sorted({rule.partition(".")[0] for rule in RULES})
    family = pattern.partition(".")[0]
    if family in families:
        return f"{family}.* is {', '.join(rule.partition('.')[2] for rule in matching(f'{family}.*'))}"
    if near := get_close_matches(family, families, 1, 0.6):
        return f"did you mean {near[0]}.*?"
    return f"they are {', '.join(f'{one}.…' for one in families)}; `runwatch anomalies` shows those that fired"
