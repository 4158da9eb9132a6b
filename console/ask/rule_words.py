"""What each rule means, in a few words, and what it measures."""

from __future__ import annotations

from typing import Final, Literal

from ...schemas.rule_names import RULES

WORDS: Final = {
    "loop.repeat": "Same call again and again",
    "loop.failing": "Same call keeps failing",
    "loop.cycle": "Calls go round in a cycle",
    "loop.stale": "Run goes in circles",
    "loop.error": "One tool keeps failing",
    "loop.stagnation": "Run gets nowhere",
    "loop.waiting": "Polling without end",
    "loop.retries": "Little but retries",
    "loop.runaway": "Run far beyond what is usual",
    "drift.tool_calls_per_run": "Tool calls a run",
    "drift.tool_calls_per_run_p95": "Tool calls a run, p95",
    "drift.latency_p95": "Run latency, p95",
    "drift.spend_per_run": "Spend a run",
    "drift.tokens_per_request": "Tokens a request",
    "drift.spend_per_token": "Price of tokens",
    "drift.retries_per_call": "Retries a tool call",
    "drift.error_rate": "Failing tool calls",
    "drift.success": "Success",
    "drift.outcome": "Good outcomes",
    "drift.spend_per_good_outcome": "Spend per good outcome",
    "drift.call_latency_p95": "Call latency, p95",
    "drift.rate_limited": "Calls answered 429 or 5xx",
    "drift.stop_reason_mix": "How runs stop",
    "drift.tool_mix": "Which tools are called",
    "drift.fall": "Does less than usual",
    "fleet.failing": "Same call fails for many runs",
    "fleet.retries": "Retried all over the fleet",
    "fleet.timeouts": "Times out all over the fleet",
    "fleet.handoff": "Agents hand work back and forth",
    "policy.capped": "The policy has reached its cap",
}

assert WORDS.keys() == set(RULES), "a rule lacks its words"

Measured = Literal["count", "ms", "usd", "share"]

# What the value and the baseline of a rule's anomalies are; counts unless said.
_MEASURED: Final[dict[str, Measured]] = {
    "drift.latency_p95": "ms",
    "drift.call_latency_p95": "ms",
    "drift.spend_per_run": "usd",
    "drift.spend_per_token": "usd",
    "drift.spend_per_good_outcome": "usd",
    "drift.retries_per_call": "share",
    "drift.error_rate": "share",
    "drift.rate_limited": "share",
    "drift.success": "share",
    "drift.outcome": "share",
    "fleet.retries": "share",
    "fleet.timeouts": "share",
}


def in_words(rule: str) -> str:
    """A rule as a person says it; of a rule of another release its name."""
    return WORDS.get(rule, rule)


def measured(rule: str) -> Measured:
    """What its numbers are."""
    return _MEASURED.get(rule, "count")
