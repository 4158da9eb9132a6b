"""What is measured of a stretch of time: sums and quantiles of window parts, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MINUTE_MS = 60_000

Totals = Mapping[str, Any]
"""The columns of `SUMS` and `SKETCHES`, of one stretch."""

SUMS = (
    *("runs_started", "runs_stopped", "successes", "model_calls", "tool_calls", "tool_errors", "retries"),
    *("input_tokens", "output_tokens", "cost_usd", "run_tool_calls_sum", "run_cost_usd_sum"),
)
# Name → the sketch whose p95 it is.
SKETCHES = {"tool_calls_p95": "run_tool_calls", "latency_p95_ms": "run_ms", "call_latency_p95_ms": "call_ms"}


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of a chart."""

    value: Callable[[Totals, float], float | None]
    """Of totals, and how many minutes they are of; None where nothing happened that it could be told by."""
    weight: str
    """The sum by which the biggest of several are chosen."""
    is_rate: bool = False
    """So much a minute: nothing is 0, not unknown."""
    of_tools: bool = False
    """Whether a single tool has it."""


def _per_minute(*names: str) -> Callable[[Totals, float], float | None]:
    return lambda t, minutes: sum(t[name] for name in names) / minutes if minutes else None


def _share(part: str, whole: str) -> Callable[[Totals, float], float | None]:
    return lambda t, _: t[part] / t[whole] if t[whole] else None


def _as_it_is(name: str) -> Callable[[Totals, float], float | None]:
    return lambda t, _: t[name]


def _tokens_per_request(t: Totals, _: float) -> float | None:
    return (t["input_tokens"] + t["output_tokens"]) / t["model_calls"] if t["model_calls"] else None


MEASURES: Mapping[str, Measure] = {
    "runs": Measure(_per_minute("runs_started"), "runs_started", is_rate=True),
    "tool_calls": Measure(_per_minute("tool_calls"), "tool_calls", is_rate=True, of_tools=True),
    "tool_calls_mean": Measure(_share("run_tool_calls_sum", "runs_stopped"), "runs_stopped"),
    "tool_calls_p95": Measure(_as_it_is("tool_calls_p95"), "runs_stopped"),
    "tokens": Measure(_per_minute("input_tokens", "output_tokens"), "input_tokens", is_rate=True),
    "tokens_per_request": Measure(_tokens_per_request, "model_calls"),
    "spend": Measure(_per_minute("cost_usd"), "cost_usd", is_rate=True),
    "latency_p95_ms": Measure(_as_it_is("latency_p95_ms"), "runs_stopped"),
    "call_latency_p95_ms": Measure(_as_it_is("call_latency_p95_ms"), "tool_calls", of_tools=True),
    "retries": Measure(_share("retries", "tool_calls"), "tool_calls", of_tools=True),
    "errors": Measure(_share("tool_errors", "tool_calls"), "tool_calls", of_tools=True),
    "success": Measure(_share("successes", "runs_stopped"), "runs_stopped"),
}
"""By name: runs, tool calls, tokens and spend (USD) a minute; tool calls of a run; latencies of runs and of calls in
ms; retries and errors as shares of calls, success as share of the runs that ended."""


def minutes_of(begin_ms: int, end_ms: int) -> float:
    return max(end_ms - begin_ms, 0) / MINUTE_MS
