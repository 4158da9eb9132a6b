"""What an incident's rule measures, over the time around its onset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...sinks.query import Reader
from .incidents import IncidentLine
from .rule_words import Measured, measured
from .span import DAY_MS, HOUR_MS, MINUTE_MS

LEAST_BEFORE_MS: Final = 30 * MINUTE_MS
MOST_BEFORE_MS: Final = 3 * DAY_MS
LEAST_USUAL: Final = 8
"""Points before the onset that tell what was usual."""
_USUAL_PART: Final = 0.1
"""What is usual reaches from this part of the points before the onset to the same part from above."""
_ABOUT: Final = 0.15
"""Of too few points: so far about the baseline."""
_MOST_POINTS: Final = 180
_STEPS_MS: Final = (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS, DAY_MS)


def _over(part: str, whole: str) -> str:
    return f"sum({part}) / nullIf(sum({whole}), 0)"


def _p95(sketch: str) -> str:
    return f"runwatch_quantile(sumMap({sketch}_keys, {sketch}_counts), 0.95)"


_ERRORS: Final = _over("tool_errors", "tool_calls")
_RETRIES: Final = _over("retries", "tool_calls")

# Rule → title, SQL over window parts, what it is.
_MEASURES: Final[dict[str, tuple[str, str, Measured]]] = {
    "drift.tool_calls_per_run": ("Tool calls a run", _over("run_tool_calls_sum", "runs_stopped"), "count"),
    "drift.tool_calls_per_run_p95": ("Tool calls a run, p95", _p95("run_tool_calls"), "count"),
    "drift.latency_p95": ("Run latency, p95", _p95("run_ms"), "ms"),
    "drift.spend_per_run": ("Spend a run", _over("run_cost_usd_sum", "runs_stopped"), "usd"),
    "drift.tokens_per_request": (
        "Tokens a request",
        "sum(input_tokens + output_tokens) / nullIf(sum(model_calls), 0)",
        "count",
    ),
    "drift.spend_per_token": (
        "Spend per million tokens",
        "sum(cost_usd) * 1e6 / nullIf(sum(input_tokens + output_tokens), 0)",
        "usd",
    ),
    "drift.retries_per_call": ("Tool calls that are retries", _RETRIES, "share"),
    "drift.error_rate": ("Tool calls that fail", _ERRORS, "share"),
    "drift.rate_limited": ("Calls answered 429 or 5xx", _over("rate_limited", "tool_calls"), "share"),
    "drift.success": ("Runs that succeed", _over("successes", "runs_stopped"), "share"),
    "drift.stop_reason_mix": ("Runs that succeed", _over("successes", "runs_stopped"), "share"),
    "drift.outcome": ("Good outcomes", _over("outcome_sum", "outcome_count"), "share"),
    "drift.spend_per_good_outcome": (
        "Spend per good outcome",
        "sum(run_cost_usd_sum) / nullIf(if(sum(outcome_count) > 0, sum(outcome_sum), sum(successes)), 0)",
        "usd",
    ),
    "drift.call_latency_p95": ("Call latency, p95", _p95("call_ms"), "ms"),
    # A call that is retried and one that is refused may be the same: the larger share says how many are hit.
    "fleet.retries": ("Calls that are retries, or answered 429 or 5xx", f"greatest({_RETRIES}, "
                      f"{_over('rate_limited', 'tool_calls')})", "share"),
    "fleet.timeouts": ("Calls that fail", _ERRORS, "share"),
    "fleet.failing": ("Calls that fail", _ERRORS, "share"),
    "loop.runaway": ("Tool calls a run, p95", _p95("run_tool_calls"), "count"),
    "loop.waiting": ("Tool calls a run", _over("run_tool_calls_sum", "runs_stopped"), "count"),
}  # fmt: skip
_OF_A_LOOP: Final = ("Calls that fail", _ERRORS, "share")
_OF_ALL: Final[tuple[str, str, Measured]] = (
    "Tool calls a run", _over("run_tool_calls_sum", "runs_stopped"), "count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evidence:
    """A measured line around an onset; lists are as long as `starts_ms`."""

    title: str
    """What is measured, and of whom."""
    measured: Measured
    starts_ms: list[int]
    step_ms: int
    values: list[float | None]
    usual_low: float | None
    """What it was between before the onset, in most points; None where that is not known."""
    usual_high: float | None
    baseline: float | None
    """What the rule held it against, where the line is the rule's own."""
    is_own: bool
    """Whether the line is what the rule judges; else it is what there is to see around it."""


@dataclass(frozen=True, slots=True)
class Around:
    """The stretch of time that an incident is looked at in."""

    from_ms: int
    onset_ms: int
    until_ms: int


def around(line: IncidentLine, now_ms: int) -> Around:
    """From as long before the onset as it lasted, half an hour at the least, to its end, or now."""
    end = min(now_ms, line.latest_ms + 10 * MINUTE_MS) if not line.is_open else now_ms
    end = max(end, line.latest_ms, line.onset_ms + MINUTE_MS)
    before = min(max(end - line.onset_ms, LEAST_BEFORE_MS), MOST_BEFORE_MS)
    return Around(line.onset_ms - before, line.onset_ms, end)


def evidence(reader: Reader, line: IncidentLine, time: Around) -> Evidence:
    """The rule's metric, of whom the incident is about. Raises `StoreError`."""
    of_fleet = line.rule.startswith("fleet.")
    title, expression, kind = _MEASURES.get(
        line.rule, _OF_A_LOOP if line.rule.startswith("loop.") and line.tool else _OF_ALL
    )
    is_loop = line.rule.startswith("loop.")
    tool = None if line.rule in ("loop.runaway", "loop.waiting") else line.tool
    agent = None if of_fleet or line.agent == "*" else line.agent
    version = None if is_loop else line.agent_version
    step = step_of(time.until_ms - time.from_ms)
    begin = time.from_ms // step * step
    rows = reader.rows(
        _SERIES.format(expression=expression),
        from_ms=begin,
        to_ms=time.until_ms,
        step_ms=step,
        tool=tool or "",
        has_tool=tool is not None,
        agent=agent or "",
        any_agent=agent is None,
        version=version or "",
        any_version=version is None,
    )
    found = {int(row["start_ms"]): row["value"] for row in rows}
    # What is stored may end long before now: then the chart does, too.
    end = min(time.until_ms, max([*found, time.onset_ms]) + 2 * step)
    starts = list(range(begin, end, step))
    values = [_known(found.get(start)) for start in starts]
    is_own = line.rule.startswith("drift.") and line.rule in _MEASURES and measured(line.rule) == kind
    low, high = usual([v for s, v in zip(starts, values, strict=True) if s + step <= time.onset_ms and v is not None],
                      line.baseline if is_own else None)  # fmt: skip
    whose = " · ".join(each for each in (tool, agent, version) if each)
    return Evidence(
        f"{title} · {whose}" if whose else title, kind, starts, step, values, low, high,
        line.baseline if is_own else None, is_own,
    )  # fmt: skip


def step_of(length_ms: int) -> int:
    """The shortest step of which a stretch has not too many."""
    return next((step for step in _STEPS_MS if length_ms / step <= _MOST_POINTS), _STEPS_MS[-1])


def usual(before: Sequence[float], baseline: float | None) -> tuple[float | None, float | None]:
    """Between what most points before lay; about the baseline where they are too few."""
    if len(before) >= LEAST_USUAL:
        ordered = sorted(before)
        out = int(len(ordered) * _USUAL_PART)
        return ordered[out], ordered[len(ordered) - 1 - out]
    if baseline is None:
        return None, None
    return baseline * (1 - _ABOUT), baseline * (1 + _ABOUT)


# Several versions of a part say the same: the newest counts. FINAL over a stretch of time is cheap.
_SERIES: Final = """
SELECT
    intDiv(toUnixTimestamp64Milli(window_start), {{step_ms:Int64}}) * {{step_ms:Int64}} AS start_ms,
    {expression} AS value
FROM window_parts
WHERE window_start >= fromUnixTimestamp64Milli({{from_ms:Int64}})
  AND window_start < fromUnixTimestamp64Milli({{to_ms:Int64}})
  AND if({{has_tool:Bool}}, tool = {{tool:String}}, tool IS NULL)
  AND ({{any_agent:Bool}} OR agent = {{agent:String}})
  AND ({{any_version:Bool}} OR agent_version = {{version:String}})
GROUP BY start_ms
ORDER BY start_ms
"""


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
