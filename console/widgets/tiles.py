"""Figures of the fleet, each with its line and what is usual; coloured only where it is out of that, and badly so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nicegui import ui

from ..ask.fleet import MEASURES, FleetSeries
from .chart import Band, spark
from .frame import Page
from .plot import Plot, spark_line
from .units import COUNT, MS, PER_MINUTE, SHARE, USD_PER_MINUTE, Unit

_RECENT: Final = 3
"""A figure that is older than so many steps is told with its time."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What a tile shows of one line of `FleetSeries`."""

    name: str
    label: str
    unit: Unit
    bad: Literal["high", "low", ""]
    """On which side of what is usual it is bad."""


FIGURES: Final = (
    Figure("runs", "Runs", PER_MINUTE, ""),
    Figure("tool_calls_mean", "Tool calls a run", COUNT, "high"),
    Figure("tool_calls_p95", "Tool calls a run, p95", COUNT, "high"),
    Figure("tokens", "Tokens", PER_MINUTE, "high"),
    Figure("spend", "Spend", USD_PER_MINUTE, "high"),
    Figure("latency_p95_ms", "Run latency, p95", MS, "high"),
    Figure("retries", "Calls that are retries", SHARE, "high"),
    Figure("success", "Runs that succeed", SHARE, "low"),
)


class Tiles:
    """The row of tiles."""

    def __init__(self, page: Page) -> None:
        with ui.element("div").classes("rw-tiles"):
            self._tiles = [_Tile(page, figure) for figure in FIGURES]

    def show(self, series: FleetSeries, to_ms: int, *, of_tools: bool = False) -> None:
        """The newest figures of the series that reaches to `to_ms`; `of_tools`: only those that a tool has."""
        for tile in self._tiles:
            tile.card.visible = not of_tools or MEASURES[tile.figure.name].of_tools
            if tile.card.visible:
                tile.show(series, to_ms)


class _Tile:
    def __init__(self, page: Page, figure: Figure) -> None:
        self._page = page
        self.figure = figure
        self._plot: Plot
        with ui.column().classes("rw-card rw-tile").props(f"data-testid=tile-{figure.name}") as self.card:
            ui.label(figure.label).classes("text-xs rw-dim")
            with ui.row().classes("items-baseline gap-2 no-wrap"):
                self._value = ui.label().classes("rw-tile-value")
                self._at = ui.label().classes("text-xs rw-dim ellipsis")
            self._usual = ui.label().classes("text-xs rw-dim ellipsis w-full")
            self._plot = spark_line(spark([], []))

    def show(self, series: FleetSeries, to_ms: int) -> None:
        values = series.lines[self.figure.name]
        known = series.baseline.get(self.figure.name)
        self._plot.show(spark(series.starts_ms, values, Band(known.low, known.high) if known else None))
        at = newest(values, series.starts_ms, series.step_ms, to_ms)
        unit = self.figure.unit
        value = None if at is None else values[at]
        self._value.text = unit.said(value)
        low, high = (known.low[at], known.high[at]) if known is not None and at is not None else (None, None)
        is_bad = (
            value is not None
            and low is not None
            and high is not None
            and ((self.figure.bad == "high" and value > high) or (self.figure.bad == "low" and value < low))
        )
        self._value.classes(add="rw-warning" if is_bad else "", remove="" if is_bad else "rw-warning")
        is_old = at is not None and to_ms - series.starts_ms[at] > (_RECENT + 1) * series.step_ms
        self._at.text = f"at {self._page.clock(series.starts_ms[at])[:-3]}" if at is not None and is_old else ""
        self._usual.text = "usual not known yet" if low is None or high is None else _between(unit, low, high)


def newest(values: Sequence[float | None], starts_ms: Sequence[int], step_ms: int, to_ms: int) -> int | None:
    """The newest known value of a step that is over; else of one that is not; None where none is known."""
    known = [at for at, value in enumerate(values) if value is not None]
    over = [at for at in known if starts_ms[at] + step_ms <= to_ms]
    return max(over or known, default=None)


def _between(unit: Unit, low: float, high: float) -> str:
    first, last = unit.said(low).removesuffix(unit.suffix), unit.said(high).removesuffix(unit.suffix)
    return f"usual {first}" if first == last else f"usual {first} to {last}"
