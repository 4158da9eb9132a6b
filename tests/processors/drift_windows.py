"""Windows to test the judging of drift with."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

from runwatch.processors.drift import DriftJudge, DriftRules
from runwatch.processors.merge import TOOL_SKETCHES, TOOL_SUMS, Share, ToolWindow, Window
from runwatch.processors.sketch import key_of
from runwatch.processors.windows import METRICS as SKETCHED
from runwatch.processors.windows import SUMS
from runwatch.schemas.anomalies import Anomaly

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MONDAY = 1_759_708_800_000
"""2025-10-06 0:00 UTC, a Monday."""


def sketch(values: Iterable[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        key = key_of(value)
        assert key is not None
        counts[key] = counts.get(key, 0) + 1
    return counts


def window(
    minute: int, calls: float = 4.0, runs: int = 10, reasons: Mapping[str, int] | None = None, **sums: float
) -> Window:
    """A window of `runs` runs that made so many tool calls each; of the other metrics it has nothing.

    `sums`: others of `windows.SUMS`, and `NAME=values` of a sketch.
    """
    start = MONDAY + minute * MINUTE
    return Window(start, start + MINUTE, *_totals(calls, runs, sums), dict(reasons or {}))


def share(calls: float = 4.0, runs: int = 10, **sums: float) -> Share:
    """A version's share of a window."""
    return Share(*_totals(calls, runs, sums))


def _totals(calls: float, runs: int, sums: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, dict[int, int]]]:
    given = {name: sums[name] for name in sums if name in SUMS}
    sketches = {name: sketch(sums.get(name, ())) for name in SKETCHED}
    if runs and "run_tool_calls" not in sums:
        sketches["run_tool_calls"] = sketch([calls] * runs)
    own = {"run_tool_calls_sum": calls * runs, "tool_calls": calls * runs, "runs_stopped": runs}
    return dict.fromkeys(SUMS, 0.0) | own | given, sketches


def tools(minute: int, **calls: tuple[int, int]) -> ToolWindow:
    """What an agent's tools did: of each the calls, and how many of them failed."""
    start = MONDAY + minute * MINUTE
    shares = {
        name: Share(
            dict.fromkeys(TOOL_SUMS, 0) | {"tool_calls": made, "tool_errors": failed},
            {name: {} for name in TOOL_SKETCHES},
        )
        for name, (made, failed) in calls.items()
    }
    return ToolWindow(start, start + MINUTE, shares)


def series(*runs: tuple[int, float], start: int = 0, **given: Any) -> list[Window]:
    """Windows of consecutive minutes: so many of each level."""
    levels = [level for count, level in runs for _ in range(count)]
    return [window(start + at, level, **given) for at, level in enumerate(levels)]


def told(windows: Iterable[Window | ToolWindow], judge: DriftJudge | None = None, agent: str = "a") -> list[Anomaly]:
    """What a judge says of these windows."""
    judge = DriftJudge(DriftRules()) if judge is None else judge
    return [anomaly for one in windows for anomaly in judge.judge(agent, one)]


def noisy(minute: int, chance: random.Random, runs: float = 3.0, factor: float = 1.0, tail: float = 0.5) -> Window:
    """A window as life has it: a Poisson number of runs, whose calls, times, tokens and spend have heavy tails."""
    count, gap = 0, chance.expovariate(1.0)
    while gap < runs:
        count, gap = count + 1, gap + chance.expovariate(1.0)
    calls = [max(1.0, round(4.0 * factor * math.exp(tail * chance.gauss(0, 1)))) for _ in range(count)]
    usd = [0.005 * one * math.exp(tail * chance.gauss(0, 1)) for one in calls]
    ms = [1_500.0 * one * math.exp(0.3 * chance.gauss(0, 1)) for one in calls]
    good = sum(chance.random() < 0.92 for _ in range(count))
    made = int(sum(calls))
    tokens = sum(2_000 * math.exp(0.3 * chance.gauss(0, 1)) for _ in range(made))
    return window(
        minute,
        runs=count,
        reasons={"success": good, "tool_error": count - good} if count else {},
        run_tool_calls=calls,
        run_tool_calls_sum=sum(calls),
        tool_calls=made,
        run_cost_usd=usd,
        run_cost_usd_sum=sum(usd),
        cost_usd=sum(usd),
        run_ms=ms,
        run_ms_sum=sum(ms),
        successes=good,
        model_calls=made,
        input_tokens=tokens,
        tool_errors=sum(chance.random() < 0.02 for _ in range(made)),
        retries=sum(chance.random() < 0.02 for _ in range(made)),
    )
