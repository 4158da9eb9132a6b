"""The charts of the fleet: which there are, and how they follow from its series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..ask.fleet import Band, FleetSeries
from ..ask.fleet import Line as Split
from . import chart
from .chart import COLORS, QUIET, Figure, Line, Mark
from .units import COUNT, MS, PER_MINUTE, SHARE, USD_PER_MINUTE, Unit


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart of the page: a title, and which lines of the fleet are in it."""

    title: str
    names: tuple[tuple[str, str], ...]
    """Measure, and what its line is called."""
    unit: Unit
    from_zero: bool = True
    is_of_tools: bool = False
    """Whether it is shown of tools alone."""

    @property
    def main(self) -> str:
        """The measure that is split, and whose usual is shown."""
        return self.names[0][0]


CHARTS: Final = (
    Drawn("Tool calls a run", (("tool_calls_mean", "mean"), ("tool_calls_p95", "p95")), COUNT),
    Drawn("Calls that are retries", (("retries", ""),), SHARE),
    Drawn("Calls that fail", (("errors", ""),), SHARE),
    Drawn("Run latency, p95", (("latency_p95_ms", ""),), MS),
    Drawn("Spend a minute", (("spend", ""),), USD_PER_MINUTE),
    Drawn("Tokens a minute", (("tokens", ""),), PER_MINUTE),
    Drawn("Runs a minute", (("runs", ""),), PER_MINUTE),
    Drawn("Runs that succeed", (("success", ""),), SHARE, from_zero=False),
    Drawn("Calls a minute", (("tool_calls", ""),), PER_MINUTE, is_of_tools=True),
    Drawn("Call latency, p95", (("call_latency_p95_ms", ""),), MS, is_of_tools=True),
)


def figure_of(
    drawn: Drawn,
    series: FleetSeries,
    splits: Sequence[Split] | None,
    marks: Sequence[Mark],
    ends: tuple[int, int],
) -> Figure:
    """A chart: its lines with what is usual, or one line each of `splits`."""
    starts = series.starts_ms
    if splits is not None:
        lines = [Line(split.name, _fitted(split.values, starts)) for split in splits]
        return chart.lines(starts, lines, drawn.unit, None, marks, ends=ends, from_zero=drawn.from_zero)
    lines = [Line(label, series.lines[name]) for name, label in drawn.names]
    return chart.lines(
        starts, lines, drawn.unit, _band(series.baseline.get(drawn.main)), marks, ends=ends, from_zero=drawn.from_zero
    )


def _fitted(values: Sequence[float | None], starts: Sequence[int]) -> list[float | None]:
    """A split that was asked for a moment before the series may lack its newest step."""
    return [*values, *([None] * len(starts))][: len(starts)]


def _band(known: Band | None) -> chart.Band | None:
    return None if known is None else chart.Band(known.low, known.high)


def stops_figure(series: FleetSeries, marks: Sequence[Mark], ends: tuple[int, int]) -> Figure:
    """Why runs ended, upon one another: success quiet at the bottom, so that the rest stands out."""
    names = sorted(series.stop_reasons, key=lambda name: name != "success")
    minutes = series.step_ms / 60_000
    colors = iter(COLORS[1:] + COLORS)
    color = {name: QUIET if name == "success" else next(colors, QUIET) for name in names}
    lines = [Line(name, [count / minutes for count in series.stop_reasons[name]], color[name]) for name in names]
    return chart.stacked(series.starts_ms, lines, PER_MINUTE, marks, step_ms=series.step_ms, ends=ends)
