"""The start page: what is wrong now, what the fleet does, and which agents are in trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from nicegui import background_tasks, ui

from ...sinks.query import Reader
from ..ask.fleet import MEASURES, Choices, Filter, FleetSeries, Line, Span, agents, choices, fleet_by
from ..ask.now import MOST, Now, Wrong, now
from ..ask.span import LENGTHS_MS
from ..ask.trailing import fleet_with_usual
from ..context import Context
from ..pulse import AGAIN_S, BEAT_S, pulse
from ..widgets import chart
from ..widgets.agents_table import agents_table, fill
from ..widgets.chart import Mark
from ..widgets.filters import Filters, View
from ..widgets.fleet_charts import CHARTS, figure_of, stops_figure
from ..widgets.frame import Page, frame
from ..widgets.incident_row import IncidentRow, IncidentRows
from ..widgets.plot import Plot
from ..widgets.tiles import Tiles
from ..widgets.units import COUNT

CSS: Final = Path(chart.__file__).with_name("fleet.css")
PERIOD_S: Final = {"15m": 2.0, "1h": 10.0, "6h": 10.0, "24h": 10.0, "7d": 30.0, "30d": 30.0}
"""How often each span is asked for anew."""
CHOICES_S: Final = 60.0
SPLIT_TOP: Final = 6
_NEVER: Final = -1e9
T = TypeVar("T")


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/")
    async def show() -> None:
        ui.add_css(CSS)
        with frame(context, "Fleet", "fleet") as page:
            _Fleet(context, page).build()


class _Fleet:
    """One viewer's page."""

    def __init__(self, context: Context, page: Page) -> None:
        self._context = context
        self._page = page
        self._view = View.of(page.request.query_params)
        self._asked_s = _NEVER
        self._is_beating = False
        self._asking_for: View | None = None
        self._wrong: list[Wrong] = []

    def build(self) -> None:
        """The elements, empty at first: the page is there at once."""
        with ui.column().classes("rw-card w-full gap-2").props("data-testid=now") as self._now_card:
            with ui.row().classes("items-center gap-2 no-wrap"):
                self._well = ui.icon("check_circle").classes("rw-good text-xl")
                self._well.visible = False
                self._now_title = ui.label("Looking…").classes("rw-title").props("role=status data-testid=now-title")
            self._rows = IncidentRows(
                ui.column().classes("w-full gap-0"),
                lambda wrong: IncidentRow(self._context, self._page, wrong, acts=True),
            )
            with ui.row().classes("w-full justify-end") as self._more:
                self._all = ui.link("", "/incidents").classes("text-sm").props("data-testid=all-incidents")
            self._more.visible = False
        self._begin = ui.column().classes("rw-card w-full gap-3").props("data-testid=empty")
        self._begin.visible = False
        with self._begin:
            _how_to_begin()
        self._body = ui.column().classes("w-full gap-3")
        with self._body:
            self._filters = Filters("/", self._view, self._go)
            self._figures = ui.column().classes("w-full gap-3 rw-stale")
        with self._figures:
            self._tiles = Tiles(self._page)
            with ui.element("div").classes("rw-charts"):
                self._plots = [self._plot(drawn.title, f"chart-{drawn.main}") for drawn in CHARTS]
                self._stops = self._plot("How runs stop", "chart-stops")
            self._table = agents_table(self._to_agent)
        ui.timer(BEAT_S, self._beat)
        ui.timer(BEAT_S, self._look)

    def _plot(self, title: str, testid: str) -> tuple[ui.column, Plot]:
        with ui.column().classes("rw-card gap-0") as card:
            return card, Plot(title, chart.lines([], [], COUNT, is_waiting=True), height_px=158, testid=testid)

    def _go(self, view: View) -> None:
        self._view = view
        self._asked_s = _NEVER
        # What is shown is of before: seen as such until the new is there.
        self._figures.classes(add="rw-stale")
        background_tasks.create(self._look())

    def _to_agent(self, agent: str) -> None:
        self._filters.go(self._view.narrowed(agent=agent))

    # -- what is asked -----------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Whether anything new was found."""
        if self._is_beating:
            return
        self._is_beating = True
        try:
            beat = await pulse(self._context)
            found = await self._context.live.ask(("now", beat), AGAIN_S, _now)
            if found.value is not None:
                self._show_now(found.value)
        finally:
            self._is_beating = False

    async def _look(self) -> None:
        """What the fleet does, when it is due. Each part is shown as it is known."""
        view = self._view
        if self._asking_for == view or time.monotonic() - self._asked_s < PERIOD_S[view.span]:
            return
        self._asking_for, self._asked_s = view, time.monotonic()
        try:
            await asyncio.gather(self._look_at_series(view), self._look_at_agents(view), self._look_at_choices(view))
        finally:
            if self._asking_for == view:
                self._asking_for = None

    async def _look_at_series(self, view: View) -> None:
        every_s = PERIOD_S[view.span]
        answer = await self._context.live.ask(
            ("fleet", view.span, view.only), every_s, partial(_timed, view=view, question=fleet_with_usual)
        )
        if answer.value is None or view != self._view:
            return
        series, to_ms = answer.value
        self._figures.classes(remove="rw-stale")
        self._show_series(series, to_ms)
        if view.split is not None:
            shown_ones = [at for at, (card, _) in enumerate(self._plots) if card.visible]
            await asyncio.gather(*(self._look_at_split(view, at, series, to_ms) for at in shown_ones))

    async def _look_at_split(self, view: View, at: int, series: FleetSeries, to_ms: int) -> None:
        drawn = CHARTS[at]
        answer = await self._context.live.ask(
            ("split", view, drawn.main), 2 * PERIOD_S[view.span], partial(_split, view=view, metric=drawn.main)
        )
        if answer.value is not None and view == self._view:
            ends = _ends(series, to_ms)
            self._plots[at][1].show(figure_of(drawn, series, answer.value, self._marks(ends), ends))

    async def _look_at_agents(self, view: View) -> None:
        answer = await self._context.live.ask(
            ("agents", view.span, view.only), PERIOD_S[view.span], partial(_timed, view=view, question=agents)
        )
        if answer.value is not None and view == self._view:
            fill(self._table, answer.value[0])

    async def _look_at_choices(self, view: View) -> None:
        answer = await self._context.live.ask(("choices", view.span), CHOICES_S, partial(_chosen, view=view))
        if answer.value is not None and view == self._view:
            self._filters.offer(answer.value)

    # -- what is shown -----------------------------------------------------------------------------

    def _show_now(self, found: Now) -> None:
        self._begin.visible = found.is_empty
        self._body.visible = not found.is_empty
        self._now_card.visible = not found.is_empty
        self._wrong = found.wrong
        is_well = self._well.visible = not found.wrong
        self._now_card.classes(add="rw-all-well" if is_well else "", remove="" if is_well else "rw-all-well")
        if is_well:
            self._now_title.text = f"Nothing is wrong. {_looked_at(found)}"
        elif found.total == 1:
            self._now_title.text = "1 incident is open"
        else:
            self._now_title.text = f"{found.total:,} incidents are open"
        self._rows.show({each.line.anomaly_id: each for each in found.wrong})
        self._more.visible = found.total > MOST
        self._all.text = f"All {found.total:,} open incidents"

    def _show_series(self, series: FleetSeries, to_ms: int) -> None:
        of_tools = self._view.only.tool is not None or self._view.split == "tool"
        self._tiles.show(series, to_ms, of_tools=self._view.only.tool is not None)
        ends = _ends(series, to_ms)
        marks = self._marks(ends)
        for drawn, (card, plot) in zip(CHARTS, self._plots, strict=True):
            card.visible = MEASURES[drawn.main].of_tools if of_tools else not drawn.is_of_tools
            if card.visible and self._view.split is None:
                plot.show(figure_of(drawn, series, None, marks, ends))
        card, plot = self._stops
        card.visible = self._view.only.tool is None
        if card.visible:
            plot.show(stops_figure(series, marks, ends))

    def _marks(self, ends: tuple[int, int]) -> list[Mark]:
        """When what is wrong began, as far as it lies within: once a moment."""
        agent = self._view.only.agent
        its = [wrong.line for wrong in self._wrong if agent is None or wrong.line.agent in (agent, "*")]
        onsets = sorted({line.onset_ms // 60_000 * 60_000 for line in its})
        return [Mark(at, "onset") for at in onsets if ends[0] < at < ends[1]][:3]


# -- questions, in a thread ------------------------------------------------------------------------------


def _now(reader: Reader) -> Now:
    return now(reader, int(time.time() * 1000))


def _timed(reader: Reader, view: View, question: Callable[[Reader, Span, Filter], T]) -> tuple[T, int]:
    """The answer, and until when it reaches."""
    to_ms = int(time.time() * 1000)
    return question(reader, Span.last(view.span, to_ms), view.only), to_ms


def _split(reader: Reader, view: View, metric: str) -> list[Line]:
    span = Span.last(view.span, int(time.time() * 1000))
    assert view.split is not None
    return fleet_by(reader, span, view.only, view.split, metric, SPLIT_TOP)


def _chosen(reader: Reader, view: View) -> Choices:
    # Who was not heard of in the last minutes is looked for all the same.
    name = view.span if LENGTHS_MS[view.span] >= LENGTHS_MS["24h"] else "24h"
    return choices(reader, Span.last(name, int(time.time() * 1000)))


def _ends(series: FleetSeries, to_ms: int) -> tuple[int, int]:
    """From when to when the charts reach: whole steps, so that they stand still between them."""
    return series.starts_ms[0], -(-to_ms // series.step_ms) * series.step_ms


def _looked_at(found: Now) -> str:
    minutes = found.looked_ms // 60_000
    if not found.agents:
        return f"No agent was heard of in the last {minutes} minutes."
    agents_told = f"{found.agents:,} agent{'' if found.agents == 1 else 's'}"
    runs_told = f"{found.runs:,} new run{'' if found.runs == 1 else 's'}"
    return f"{agents_told} and {runs_told} were looked at in the last {minutes} minutes."


def _how_to_begin() -> None:
    ui.label("No event has been stored yet").classes("rw-title")
    ui.label("See runwatch at work: a simulated fleet that runs into an incident.").classes("text-sm")
    ui.label("runwatch demo").classes("rw-mono rw-code")
    ui.label("Import what your agents did already: event JSON lines, or OpenAI chat transcripts.").classes("text-sm")
    ui.label("runwatch import runs.jsonl").classes("rw-mono rw-code")
    ui.label("Or connect an agent, in three lines of Python:").classes("text-sm")
    ui.label(CONNECT).classes("rw-mono rw-code")
    ui.label("This page shows the first runs within seconds; it need not be loaded anew.").classes("text-sm rw-dim")


CONNECT: Final = """\
watch = runwatch.connect(agent="support", version="1.4.2", model="gpt-4o")
with watch.run() as run:
    page = run.call_tool("http.get", {"url": url}, fetch)"""
