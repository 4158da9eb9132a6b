"""The page /incidents/{anomaly_id}: what is wrong, why probably, on what evidence, what was done, and in which runs."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from nicegui import ui

from ..ask.evidence import Evidence
from ..ask.incident import Incident, incident
from ..ask.incidents import IncidentLine
from ..ask.rule_words import Measured, in_words, measured
from ..context import Context
from ..widgets import chart
from ..widgets.chart import Band, Figure, Line, Mark
from ..widgets.command import command_button
from ..widgets.filters import address
from ..widgets.frame import Page, frame
from ..widgets.incident_parts import calls_table, causes, done, others, runs_table, states, stops
from ..widgets.incident_row import lasting, run_path, scope_of, whereabouts
from ..widgets.part import Part
from ..widgets.plain import shown
from ..widgets.plot import Plot
from ..widgets.severity import color, mark
from ..widgets.units import COUNT, MS, SHARE, USD, Unit

CSS: Final = Path(chart.__file__).with_name("fleet.css")
AGAIN_S: Final = 10.0
UNITS: Final[dict[Measured, Unit]] = {"count": COUNT, "ms": MS, "usd": USD, "share": SHARE}


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/incidents/{anomaly_id}")
    async def show(anomaly_id: str) -> None:
        ui.add_css(CSS)
        with frame(context, "Incident", "incidents") as page:
            _Incident(context, page, anomaly_id).build()


class _Incident:
    """One viewer's page."""

    def __init__(self, context: Context, page: Page, anomaly_id: str) -> None:
        self._context = context
        self._page = page
        self._id = anomaly_id
        self._plot: Plot | None = None
        self._is_asking = False

    def build(self) -> None:
        """The elements, empty at first."""
        self._head = Part(ui.column().classes("w-full gap-2"), self._draw_head)
        with ui.column().classes("rw-card w-full") as self._waiting:
            ui.label("Looking…").classes("rw-dim")
        self._body = ui.element("div").classes("rw-incident-grid")
        self._body.visible = False
        with self._body:
            with ui.column().classes("w-full gap-3").style("min-width: 0"):
                self._causes = Part(_card("Likely cause", "causes"), partial(causes, self._context, self._page))
                with _card("Evidence", "evidence"):
                    self._value = ui.label().classes("text-sm")
                    self._chart = ui.column().classes("w-full")
                    self._calls = Part(ui.column().classes("w-full gap-1"), partial(calls_table, self._page))
                self._runs_card = _card("Runs involved", "runs")
                self._runs = Part(self._runs_card, partial(runs_table, self._page))
            with ui.column().classes("w-full gap-3").style("min-width: 0"):
                self._done = Part(_card("What was done", "done"), partial(done, self._page))
                self._stops = Part(_card("How runs stop", "stops"), stops)
                self._others = Part(_card("At the same time", "others"), partial(others, self._page))
                self._states = Part(_card("What was said", "states"), partial(states, self._page))
        ui.timer(AGAIN_S, self._beat)

    async def _beat(self) -> None:
        if self._is_asking:
            return
        self._is_asking = True
        try:
            answer = await self._context.live.ask(
                ("incident", self._id),
                AGAIN_S / 2,
                lambda reader: incident(reader, self._id, int(time.time() * 1000)),
            )
            self._waiting.visible = False
            if answer.value is not None:
                self._show(answer.value)
            elif answer.error is None:
                self._unknown()
        finally:
            self._is_asking = False

    def _unknown(self) -> None:
        self._head.show(None)

    def _show(self, found: Incident) -> None:
        line = found.line
        self._body.visible = True
        self._head.show(line)
        self._causes.show(found.causes)
        self._value.text = _value_told(line)
        self._value.visible = bool(self._value.text)
        figure = evidence_figure(found)
        if self._plot is None:
            with self._chart:
                self._plot = Plot(shown(found.evidence.title), figure, height_px=230, testid="evidence-chart")
        else:
            self._plot.show(figure)
        self._calls.show((line, found.calls))
        self._runs.show((line, found.runs))
        self._done.show(found.done)
        self._stops.show(found.stops)
        self._others.show(found.others)
        self._states.show(found.states)

    def _draw_head(self, line: IncidentLine | None) -> None:
        if line is None:
            with ui.column().classes("rw-card w-full gap-2").props("data-testid=unknown"):
                ui.label(f"No incident {shown(self._id, 80)} is stored").classes("rw-title")
                ui.label("What is stored is kept for 30 days, unless the config says otherwise.").classes("text-sm")
                ui.link("All incidents", "/incidents").classes("text-sm")
            return
        look = f"rw-incident-{line.severity}" if line.is_open else ""
        with ui.column().classes(f"rw-card rw-incident {look} w-full gap-1").props("data-testid=what"):
            with ui.row().classes("items-center gap-3"):
                mark(line.severity, is_open=line.is_open)
                ui.label(in_words(line.rule)).classes("text-sm")
                ui.label(lasting(line, self._page, int(time.time() * 1000))).classes("text-sm rw-dim")
            ui.label(shown(line.sentence, 2_000)).classes("rw-headline").props("role=heading aria-level=1")
            with ui.row().classes("rw-facts items-center"):
                ui.label(whereabouts(line, line.agent_version))
                if line.model:
                    ui.label(shown(line.model, 60))
                ui.label(line.rule).classes("rw-mono")
            self._buttons(line)

    def _buttons(self, line: IncidentLine) -> None:
        scope = scope_of(line)
        with ui.row().classes("items-center gap-2 q-mt-xs"):
            if line.run_id is not None:
                run = line.run_id
                ui.button("Open the run", icon="route", on_click=lambda: ui.navigate.to(run_path(run))).props(
                    "no-caps dense unelevated color=primary data-testid=open-run"
                ).classes("q-px-sm")
            command_button(self._context, self._page, scope, "Stop…", "stop")
            command_button(self._context, self._page, scope, "Disable writes…", "disable_writes")
            command_button(self._context, self._page, scope, "Allow", "allow")
            if line.agent != "*":
                ui.link("The agent in the fleet", address("/", {"agent": line.agent})).classes("text-sm q-ml-sm")


def _card(title: str, testid: str) -> ui.column:
    with ui.column().classes("rw-card w-full gap-2").props(f"data-testid={testid}"):
        ui.label(title).classes("rw-title").props("role=heading aria-level=2")
        return ui.column().classes("w-full gap-2")


def _value_told(line: IncidentLine) -> str:
    """The value against the baseline, for rules whose numbers mean something by themselves."""
    unit = UNITS[measured(line.rule)]
    if line.baseline is None or line.rule.endswith("_mix"):
        return ""
    times = f", {line.value / line.baseline:.2g} times as much" if line.baseline and line.value > line.baseline else ""
    return f"{unit.said(line.value)} where {unit.said(line.baseline)} is usual{times}."


def evidence_figure(found: Incident) -> Figure:
    """The metric around the onset: what was usual as a band, and what happened when as upright lines."""
    its: Evidence = found.evidence
    points = len(its.starts_ms)
    is_known = its.usual_low is not None and its.usual_high is not None
    band = Band([its.usual_low] * points, [its.usual_high] * points) if is_known else None
    line = found.line
    if line.run_id is None:
        marks = [Mark(line.onset_ms, "onset")]
        marks += [
            Mark(state.ts_ms, _SAID.get(state.state, state.state), color(state.severity, state.state != "resolved"))
            for state in found.states
            # What opened at once is told by its onset.
            if state.ts_ms - line.onset_ms >= its.step_ms
        ]
    else:
        marks = [Mark(line.onset_ms, "this run", color(line.severity))]
        if line.onset_ms - found.around.onset_ms >= its.step_ms:
            marks.insert(0, Mark(found.around.onset_ms, "first loop"))
    ends = (its.starts_ms[0], its.starts_ms[-1] + its.step_ms) if its.starts_ms else None
    return chart.lines(its.starts_ms, [Line("", its.values)], UNITS[its.measured], band, marks, ends=ends)


_SAID: Final[dict[str, Any]] = {"open": "opened", "escalated": "worse", "resolved": "resolved"}
