"""What is measured: numbers of a window that add up over windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .. import sketch
from ..merge import Totals

_MOST = 1e300
Weight = Literal["runs", "share", "calls", "quantile"]
"""Which of the rules says how much a measurement needs: `least_runs`, `least_share` and so on."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a stretch of time has, if enough went into it: a sum over a weight, or a quantile."""

    name: str
    """The rule is `drift.NAME`."""
    label: str
    """For people: what rose, or fell."""
    floor: float
    """Twice next to nothing is next to nothing: a lower level counts as this much, and a share as so much more."""
    needs: Weight
    sums: Callable[[Totals], tuple[float, float]] | None = None
    """Of a window: what is divided, and by what (also its weight)."""
    sketched: str | None = None
    """Or the sketch whose p95 it is."""
    unit: str = ""
    is_share: bool = False
    """Shown in per cent."""
    falls: bool = False
    """A share that is bad when it falls: what is missing from the whole is judged."""
    is_of_steps: bool = False
    """Measured over steps, of which one run may have many: enough runs must have taken part."""
    has_steps: bool = True
    """Whether it is told of changes smaller than a multiple."""
    implied_by: tuple[str, ...] = ()
    """While one of these has an episode, this one's opens none: it would say the same again."""

    def level(self, value: float) -> float:
        """The logarithm of how bad a value is: differences of it are factors."""
        if self.is_share:
            share = 1.0 - value if self.falls else value
            # Outcomes and spend are what agents say they are, also what cannot be.
            return math.log((min(share, 1.0) if share > 0 else 0.0) + self.floor)
        return math.log(min(value, _MOST) if value > self.floor else self.floor)

    def value(self, level: float) -> float:
        """The value that has this level."""
        if self.is_share:
            share = max(math.exp(level) - self.floor, 0.0)
            return 1.0 - share if self.falls else share
        return math.exp(level)


def _count(buckets: Mapping[int, int]) -> int:
    return sum(buckets.values())


def _good(t: Totals) -> tuple[float, float]:
    """Spend per good outcome; where nobody judges outcomes, per success."""
    sums = t.sums
    if sums["outcome_count"] and sums["runs_stopped"]:
        return sums["run_cost_usd_sum"] / sums["runs_stopped"] * sums["outcome_count"], sums["outcome_sum"]
    return sums["run_cost_usd_sum"], sums["successes"]


def _price(t: Totals) -> tuple[float, float]:
    """What tokens cost: it tells a change of prices from a change of work."""
    tokens = t.sums["input_tokens"] + t.sums["output_tokens"]
    requests = t.sums["model_calls"]
    return (t.sums["cost_usd"] * 1e6 / tokens * requests, requests) if tokens else (0.0, 0.0)


AGENT_METRICS: tuple[Metric, ...] = (
    Metric(
        "tool_calls_per_run",
        "Tool calls a run",
        1.0,
        "runs",
        lambda t: (t.sums["run_tool_calls_sum"], _count(t.sketches["run_tool_calls"])),
    ),
    Metric(
        "tool_calls_per_run_p95",
        "Tool calls a run (p95)",
        2.0,
        "share",
        sketched="run_tool_calls",
        has_steps=False,
        implied_by=("tool_calls_per_run",),
    ),
    Metric("latency_p95", "Run latency (p95)", 100.0, "share", sketched="run_ms", unit=" ms"),
    Metric(
        "spend_per_run",
        "Spend a run",
        0.0001,
        "runs",
        lambda t: (t.sums["run_cost_usd_sum"], _count(t.sketches["run_cost_usd"])),
        unit=" USD",
    ),
    Metric(
        "tokens_per_request",
        "Tokens a request",
        50.0,
        "calls",
        lambda t: (t.sums["input_tokens"] + t.sums["output_tokens"], t.sums["model_calls"]),
        is_of_steps=True,
    ),
    Metric(
        "spend_per_token",
        "Spend per million tokens",
        0.01,
        "calls",
        _price,
        unit=" USD",
        is_of_steps=True,
    ),
    Metric(
        "retries_per_call",
        "Retries a tool call",
        0.05,
        "share",
        lambda t: (t.sums["retries"], t.sums["tool_calls"]),
        is_share=True,
        is_of_steps=True,
    ),
    Metric(
        "error_rate",
        "Failing tool calls",
        0.05,
        "share",
        lambda t: (t.sums["tool_errors"], t.sums["tool_calls"]),
        is_share=True,
        is_of_steps=True,
    ),
    Metric(
        "success",
        "Success",
        0.05,
        "share",
        lambda t: (t.sums["successes"], t.sums["runs_stopped"]),
        is_share=True,
        falls=True,
    ),
    Metric(
        "outcome",
        "Good outcomes",
        0.05,
        "share",
        lambda t: (t.sums["outcome_sum"], t.sums["outcome_count"]),
        is_share=True,
        falls=True,
    ),
    Metric(
        "spend_per_good_outcome",
        "Spend per good outcome",
        0.0001,
        "share",
        _good,
        unit=" USD",
        implied_by=("spend_per_run", "spend_per_token", "success", "outcome"),
    ),
)

TOOL_METRICS: tuple[Metric, ...] = (
    Metric(
        "call_latency_p95",
        "Call latency (p95)",
        20.0,
        "quantile",
        sketched="call_ms",
        unit=" ms",
        has_steps=False,
        implied_by=("latency_p95",),
    ),
    Metric(
        "error_rate",
        "Failing calls",
        0.05,
        "share",
        lambda t: (t.sums["tool_errors"], t.sums["tool_calls"]),
        is_share=True,
        has_steps=False,
        implied_by=("error_rate",),
    ),
    Metric(
        "retries_per_call",
        "Retries a call",
        0.05,
        "share",
        lambda t: (t.sums["retries"], t.sums["tool_calls"]),
        is_share=True,
        has_steps=False,
        implied_by=("retries_per_call", "error_rate"),
    ),
    Metric(
        "rate_limited",
        "Calls answered with 429 or 5xx",
        0.05,
        "share",
        lambda t: (t.sums["rate_limited"], t.sums["tool_calls"]),
        is_share=True,
        has_steps=False,
        implied_by=("error_rate", "retries_per_call"),
    ),
)


def p95(buckets: Mapping[int, int]) -> float:
    """The 95th percentile of a sketch that is not empty."""
    found = sketch.quantile(buckets, 0.95)
    assert found is not None
    return found
