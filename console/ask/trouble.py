"""How much trouble an agent is in: what is open, and how far it is from what it usually does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...sinks.query import Reader
from .cells import Asked, Frontier, statement
from .span import DAY_MS, HOUR_MS, Dimension, Span
from .standing import OPEN_BY_AGENT

DAYS = 7
LEAST_HOURS = 3
SUMS = (
    *("runs_stopped", "successes", "model_calls", "tool_calls", "tool_errors", "retries", "input_tokens"),
    *("output_tokens", "run_tool_calls_sum", "run_cost_usd_sum", "run_ms_sum"),
)
# Each the worse the higher. Shares begin at a floor, since twice next to nothing is next to nothing.
_FIGURES = {
    "calls": "run_tool_calls_sum / nullIf(runs_stopped, 0)",
    "spend": "run_cost_usd_sum / nullIf(runs_stopped, 0)",
    "took": "run_ms_sum / nullIf(runs_stopped, 0)",
    "request": "(input_tokens + output_tokens) / nullIf(model_calls, 0)",
    "again": "retries / nullIf(tool_calls, 0) + 0.02",
    "failed": "tool_errors / nullIf(tool_calls, 0) + 0.02",
    "missed": "1 - successes / nullIf(runs_stopped, 0) + 0.05",
}


@dataclass(frozen=True, slots=True)
class Incidents:
    """An agent's open incidents."""

    open: int = 0
    critical: int = 0
    warning: int = 0
    last_ms: int = 0
    """When the newest of them was found."""

    @property
    def severity(self) -> str | None:
        """The worst one's."""
        if not self.open:
            return None
        return "critical" if self.critical else "warning" if self.warning else "info"

    @property
    def order(self) -> tuple[int, int]:
        """The more, the more trouble."""
        return self.critical, self.warning


def open_incidents(reader: Reader, agent: str | None = None) -> dict[str, Incidents]:
    """Open incidents by agent, `*` for those of the whole fleet; of one agent, where one is named."""
    return {
        row["agent"]: Incidents(row["open"], row["critical"], row["warning"], row["last_ms"])
        for row in reader.rows(OPEN_BY_AGENT)
        if agent in (None, row["agent"])
    }


def distance(
    reader: Reader, span: Span, now: Iterable[Mapping[str, Any]], given: Mapping[Dimension, str], known: Frontier
) -> dict[str, float]:
    """By agent: how many times its worst figure within the span is what the hours of the week before were like.

    Hours of the same time of day, where the span is shorter than a day: their median. 1 is as usual, or better.
    """
    begin = span.from_ms // HOUR_MS * HOUR_MS
    hours = sorted({at // HOUR_MS % 24 for at in range(begin, span.to_ms, HOUR_MS)})
    asked = Asked(begin - DAYS * DAY_MS, begin, HOUR_MS, given, "agent", sums=SUMS, sketches=(), hours=hours)
    inner, parameters = statement(asked, known)
    if not inner:
        return {}
    figures = ", ".join(f"quantileExact(0.5)({figure}) AS {name}" for name, figure in _FIGURES.items())
    rows = reader.rows(
        f"SELECT name, {figures} FROM ({inner}) GROUP BY name HAVING count() >= {LEAST_HOURS}",
        **parameters,
    )
    before = {row["name"]: row for row in rows}
    return {
        row["name"]: max([1.0, *_times(_figures(row), before[row["name"]])]) for row in now if row["name"] in before
    }


def _figures(t: Mapping[str, Any]) -> dict[str, float | None]:
    """As `_FIGURES` has them."""

    def share(part: float, whole: float, floor: float = 0.0) -> float | None:
        return part / whole + floor if whole else None

    missed = share(t["runs_stopped"] - t["successes"], t["runs_stopped"], 0.05)
    return {
        "calls": share(t["run_tool_calls_sum"], t["runs_stopped"]),
        "spend": share(t["run_cost_usd_sum"], t["runs_stopped"]),
        "took": share(t["run_ms_sum"], t["runs_stopped"]),
        "request": share(t["input_tokens"] + t["output_tokens"], t["model_calls"]),
        "again": share(t["retries"], t["tool_calls"], 0.02),
        "failed": share(t["tool_errors"], t["tool_calls"], 0.02),
        "missed": missed,
    }


def _times(now: Mapping[str, float | None], usual: Mapping[str, Any]) -> Iterable[float]:
    for name, value in now.items():
        if value is not None and usual[name]:
            yield value / float(usual[name])
