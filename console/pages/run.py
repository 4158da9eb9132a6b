"""The page /runs/{run_id}: the five questions about one run, and its steps."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Final
from urllib.parse import quote

from nicegui import ui

from ...control.scopes import run_scope
from ..ask.runs import RunRow
from ..ask.steps import Found
from ..ask.story import RunStory, Usual, mark, story_alone, usual
from ..context import Context
from ..widgets.command import command_button
from ..widgets.copied import copied
from ..widgets.frame import Page, frame
from ..widgets.part import Part
from ..widgets.plain import shown
from ..widgets.questions import Questions, build_usage, counted
from ..widgets.steps import STYLE, Steps, brief
from ..widgets.units import MS

LOOK_S: Final = 1.0
LONG_STEPS: Final = 2_000
LONG_S: Final = 5.0
AGAIN_S: Final = 30.0
"""Where nothing new is known of a run itself: of its children something may be."""
SHARED_S: Final = 0.4
"""An answer that is no older serves the next viewer too."""
USUAL_S: Final = 300.0
HOUR_MS: Final = 3_600_000
NAME: Final = 60


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/runs/{run_id:path}")
    async def show(run_id: str) -> None:
        with frame(context, f"Run {shown(run_id, 40)}", "runs") as page:
            ui.add_css(STYLE)
            _View(context, page, run_id)


class _View:
    def __init__(self, context: Context, page: Page, run_id: str) -> None:
        self._context = context
        self._page = page
        self._run_id = run_id
        self._every_s = AGAIN_S
        self._mark: tuple[int, ...] | None = None
        self._steps: Steps | None = None
        self._place = ui.column().classes("w-full gap-3")
        with self._place:
            self._waiting = ui.label("Loading…").classes("rw-dim rw-wrap")
        self._missing = False
        self._look_timer = ui.timer(LOOK_S, self.look)

    async def look(self) -> None:
        """Shows what is known now."""
        live = self._context.live
        mark_now = await live.ask(("run-mark", self._run_id), LOOK_S, partial(mark, run_id=self._run_id))
        every_s = self._every_s if mark_now.value == self._mark else SHARED_S
        found = await live.ask(("run", self._run_id), every_s, partial(story_alone, run_id=self._run_id))
        if self._place.is_deleted:
            return
        told: RunStory | None = found.value
        if told is None:
            if found.error is None:
                self._tell_missing()
            elif not self._missing:
                self._waiting.text = shown(found.error, 400)
            return
        if found.error is None:
            self._mark = mark_now.value
        run = told.run
        its = await live.ask(
            ("usual", run.agent, run.began_ms // HOUR_MS), USUAL_S, partial(usual, agent=run.agent, at_ms=run.began_ms)
        )
        if self._place.is_deleted:
            return
        if self._steps is None:
            self._build()
        assert self._steps is not None
        # Of a long run a new answer is some megabytes.
        self._look_timer.interval = LONG_S if len(told.steps) > LONG_STEPS else LOOK_S
        self._head.show(run)
        self._found.show(told.found)
        self._questions.show(told)
        self._usage.show((run, its.value))
        self._relatives.show((told.parent, told.children))
        self._steps.show(told.steps, told.found)
        self._payloads.show(told.sealed)

    def _tell_missing(self) -> None:
        if self._missing or self._steps is not None:
            return
        self._missing = True
        self._place.clear()
        with self._place, ui.column().classes("rw-card w-full gap-2").props("data-testid=run-missing"):
            ui.label("No event of this run is stored.").classes("rw-title")
            ui.label(shown(self._run_id, 200)).classes("rw-mono rw-wrap")
            ui.label(
                "Is the id whole? A run that has only just begun shows up here by itself, within seconds; what is "
                "stored is kept for 30 days, unless the config says otherwise."
            ).classes("text-sm rw-dim")
            ui.link("The latest runs", "/runs").classes("rw-quiet-link")

    def _build(self) -> None:
        self._place.clear()
        with self._place:
            self._head = Part(ui.column().classes("w-full gap-1"), self._build_head)
            self._found = Part(ui.column().classes("w-full gap-2"), self._build_found)
            self._questions = Part(ui.column().classes("w-full gap-3"), Questions(self._page, self._go).build)
            self._usage: Part[tuple[RunRow, Usual | None]] = Part(
                ui.column().classes("rw-card w-full gap-2"), lambda what: build_usage(*what)
            )
            self._relatives: Part[tuple[RunRow | None, list[RunRow]]] = Part(
                ui.column().classes("w-full gap-2"), lambda what: self._build_relatives(*what)
            )
            with ui.column().classes("rw-card w-full gap-2"):
                self._steps = Steps(self._page.clock)
                self._payloads = Part(ui.column().classes("w-full gap-1"), self._build_payloads)

    # -- what is said of it ------------------------------------------------------------------------

    def _build_head(self, run: RunRow) -> None:
        with ui.row().classes("w-full items-center gap-3"):
            ui.label("Run").classes("rw-title")
            copied(run.run_id, shown(run.run_id, 80), "rw-title rw-wrap")
            _state(run)
            ui.space()
            if run.stopped_ms is None:
                command_button(self._context, self._page, run_scope(run.run_id), "Stop this run…", "stop", icon="block")
        with ui.row().classes("w-full items-center gap-x-3 gap-y-1 text-sm rw-dim"):
            ui.link(shown(run.agent, NAME), f"/runs?agent={quote(run.agent, safe='')}").classes("rw-quiet-link rw-wrap")
            for text in (
                shown(run.agent_version, NAME) if run.agent_version else None,
                shown(run.model, NAME) if run.model else None,
                f"began {self._page.clock(run.began_ms)}",
                f"{counted(run.steps, 'step')} in {MS.said(run.duration_ms)}",
            ):
                if text:
                    ui.label(text).classes("rw-wrap")
        if run.missing_events:
            ui.label(
                f"{counted(run.missing_events, 'event')} of it never arrived: "
                "what follows has gaps, which the timeline marks."
            ).classes("text-sm rw-warning").props("data-testid=run-gaps")

    def _build_found(self, found: list[Found]) -> None:
        if not found:
            return
        with ui.column().classes("rw-card w-full gap-2"):
            for one in found:
                with ui.row().classes("w-full items-start no-wrap gap-2").props("data-testid=run-anomaly"):
                    ui.element("div").classes(f"rw-dot rw-dot-{_severity(one)} q-mt-xs")
                    with ui.column().classes("gap-0").style("min-width: 0"):
                        ui.label(shown(one.message, 400)).classes("rw-wrap")
                        with ui.row().classes("gap-2 items-center text-sm rw-dim"):
                            ui.link(one.rule, f"/incidents/{quote(one.anomaly_id, safe='')}").classes("rw-quiet-link")
                            ui.label(f"{one.severity}, {one.state}; since {self._page.clock(one.onset_ms)}")
                            if one.seqs:
                                ui.button(
                                    f"steps {min(one.seqs)} to {max(one.seqs)}",
                                    on_click=partial(self._go, min(one.seqs)),
                                ).props("flat dense no-caps").classes("rw-jump")

    def _go(self, seq: int) -> None:
        if self._steps is not None:
            self._steps.go(seq)

    def _build_relatives(self, parent: RunRow | None, children: list[RunRow]) -> None:
        if parent is None and not children:
            return
        with ui.column().classes("rw-card w-full gap-1"):
            if parent is not None:
                ui.label("Started by").classes("rw-dim text-sm")
                _relative(parent)
            if children:
                ui.label(f"Started {counted(len(children), 'run')}").classes("rw-dim text-sm")
                for one in children[:20]:
                    _relative(one)
                if len(children) > 20:
                    ui.label(f"… and {len(children) - 20:,} more").classes("rw-dim text-sm")

    def _build_payloads(self, sealed: int) -> None:
        command = f"runwatch replay {shlex.quote(self._run_id)}"
        if sealed:
            said = (
                f"{sealed:,} of its arguments and results are stored, sealed: they open with the readers' key alone, "
                "which never comes here. Where that key is, run:"
            )
        else:
            said = "Of arguments and results only the hashes are known. The same timeline in a terminal:"
        ui.label(said).classes("text-sm rw-dim").props("data-testid=snapshots")
        with ui.row().classes("items-center gap-1"):
            copied(command, shown(command, 120), "rw-wrap")


def _state(run: RunRow) -> None:
    if run.stopped_ms is None:
        with ui.row().classes("items-center gap-1 no-wrap").props("data-testid=run-state"):
            ui.spinner("dots", size="1.2em")
            ui.label("not stopped").classes("text-sm")
    else:
        ui.label(brief(run.stop_reason or "stopped", 40)).classes("rw-tag rw-tag-strong").props("data-testid=run-state")


def _relative(run: RunRow) -> None:
    with ui.row().classes("items-center gap-3 text-sm w-full"):
        ui.link(shown(run.run_id, 40), f"/runs/{quote(run.run_id, safe='')}").classes("rw-quiet-link rw-mono rw-wrap")
        ui.label(shown(run.agent, NAME)).classes("rw-wrap")
        ui.label(f"{run.tool_calls:,} calls").classes("rw-dim")
        ui.label(shown(run.stop_reason, 40) if run.stop_reason else "not stopped").classes("rw-dim")
        if run.anomalies:
            ui.label(", ".join(run.rules)).classes("rw-warning")


def _severity(one: Found) -> str:
    return one.severity if one.severity in ("critical", "warning") else "info"
