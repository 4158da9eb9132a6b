"""The five questions about a run, answered side by side; and what it used beside what is usual."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import quote

from nicegui import ui

from ...schemas.reasons import KILLED, LOOP_DETECTED
from ..ask.runs import RunRow
from ..ask.steps import Step, answers, repeats, streaks
from ..ask.story import Command, RunStory, Usual, Version
from .copied import copied
from .frame import Page
from .plain import shown
from .steps import SHORT_HASH, brief
from .units import COUNT, MS, USD, Unit

STREAKS: Final = 24
REPEATS: Final = 5
NAME: Final = 60
ENOUGH: Final = 10
"""Of fewer runs nothing is usual."""


class Questions:
    """The answers, one card each. Use within a page."""

    def __init__(self, page: Page, go: Callable[[int], None]) -> None:
        """`go` looks at the step with that number."""
        self._page = page
        self._go = go

    def build(self, told: RunStory) -> None:
        """Puts them there."""
        with ui.element("div").classes("rw-qs"):
            with _question("1", "Which tools, in which order?"):
                self._tools(told.steps)
            with _question("2", "With which arguments?"):
                self._arguments(told.steps)
            with _question("3", "What came back?"):
                self._came_back(told.steps)
            with _question("4", "Which model, prompt and tools?"):
                self._versions(told.versions)
            with _question("5", "Why did it stop?"):
                self._why(told)

    def _tools(self, steps: list[Step]) -> None:
        found = streaks(steps)
        if not found:
            ui.label("It called none.").classes("text-sm rw-dim")
            return
        with ui.row().classes("items-center gap-x-1 gap-y-1 text-sm"):
            for at, one in enumerate(found[:STREAKS]):
                if at:
                    ui.label("→").classes("rw-dim")
                times = f" ×{one.times:,}" if one.times > 1 else ""
                ui.button(f"{brief(one.tool, 28)}{times}", on_click=partial(self._go, one.first)).props(
                    "flat dense no-caps"
                ).classes("rw-mono rw-wrap rw-jump")
        if len(found) > STREAKS:
            ui.label(f"… {len(found) - STREAKS:,} more; the timeline has them all.").classes("text-sm rw-dim")

    def _arguments(self, steps: list[Step]) -> None:
        calls = [one for one in steps if one.kind == "tool_result"]
        hashes = {(one.tool, one.args_sha) for one in calls if one.args_sha}
        again = repeats(steps)
        ui.label(f"{counted(len(calls), 'call')}, {len(hashes):,} different.").classes("text-sm")
        if not again and calls:
            ui.label("None was made twice.").classes("text-sm rw-dim")
        for one in again[:REPEATS]:
            with ui.row().classes("items-baseline no-wrap gap-2 text-sm w-full"):
                ui.label(f"{len(one.seqs):,}×").classes("text-weight-bold")
                ui.label(brief(one.tool, 40)).classes("rw-mono rw-cut").style("flex: 0 1 auto; max-width: none")
                copied(one.args_sha, f"#{one.args_sha[:SHORT_HASH]}")
                ui.space()
                came = "same result" if one.results == 1 else f"{one.results:,} results"
                ui.button(came, on_click=partial(self._go, one.seqs[0])).props("flat dense no-caps").classes(
                    "rw-jump"
                ).tooltip(f"From step {one.seqs[0]} on")
        if len(again) > REPEATS:
            ui.label(f"… {len(again) - REPEATS:,} more calls were repeated.").classes("text-sm rw-dim")

    def _came_back(self, steps: list[Step]) -> None:
        found = answers(steps)
        total = max(1, sum(count for _, count in found))
        for name, count in found[:8]:
            with ui.row().classes("items-center no-wrap gap-2 text-sm w-full"):
                ui.label(brief(name, 40)).classes("rw-cut").style("flex: 1 1 0; max-width: none")
                ui.label(f"{count:,}").classes("text-weight-bold")
                ui.label(f"{100 * count / total:.0f} %").classes("rw-dim text-right").style("min-width: 4ch")
        if not found:
            ui.label("Nothing: no tool was called.").classes("text-sm rw-dim")
        results = {one.result_sha for one in steps if one.kind == "tool_result" and one.result_sha}
        if results:
            ui.label(f"{len(results):,} different result{'s' if len(results) > 1 else ''}, by hash.").classes(
                "text-sm rw-dim"
            )

    def _versions(self, versions: list[Version]) -> None:
        for at, one in enumerate(versions[:6]):
            if at:
                ui.label(f"From step {one.seq} on:").classes("text-sm rw-dim")
            with (
                ui.element("div")
                .classes("text-sm")
                .style("display: grid; grid-template-columns: auto 1fr; gap: 2px 12px")
            ):
                for label, value in (("Version", one.agent_version), ("Model", one.model)):
                    ui.label(label).classes("rw-dim")
                    ui.label(shown(value, NAME) if value else "not recorded").classes("rw-wrap")
                for label, digest in (("Prompt", one.prompt_sha), ("Tools", one.tools_sha)):
                    ui.label(label).classes("rw-dim")
                    if digest:
                        copied(digest, f"#{digest[:SHORT_HASH]}")
                    else:
                        ui.label("not recorded")

    def _why(self, told: RunStory) -> None:
        run = told.run
        if run.stop_reason:
            ui.label(shown(run.stop_reason, NAME)).classes("rw-figure rw-wrap").props("data-testid=stop-reason")
        ui.label(shown(told.why, 500)).classes("text-sm rw-wrap").props("data-testid=why")
        if run.stopped_ms is not None:
            outcome = "" if run.outcome is None else f" Outcome {run.outcome:.3g}."
            ui.label(f"At {self._page.clock(run.stopped_ms)}, after {MS.said(run.duration_ms)}.{outcome}").classes(
                "text-sm rw-dim"
            )
        if run.stop_reason in (KILLED, LOOP_DETECTED):
            self._said(told.commands)

    def _said(self, commands: list[Command]) -> None:
        one = next((command for command in commands if command.anomaly_id), None)
        if one is not None:
            ui.link("The incident behind it", f"/incidents/{quote(one.anomaly_id, safe='')}").classes(
                "rw-quiet-link text-sm"
            )


def build_usage(run: RunRow, known: Usual | None) -> None:
    """What the run used; `known`: what is usual, if anything is known of it."""
    tokens = (
        None
        if run.input_tokens is None and run.output_tokens is None
        else ((run.input_tokens or 0) + (run.output_tokens or 0))
    )
    with ui.row().classes("w-full items-baseline gap-2"):
        ui.label("What it used").classes("rw-title")
        if known is not None and known.runs >= ENOUGH:
            ui.label(f"beside what {known.runs:,} runs of the agent used in the week before").classes("text-sm rw-dim")
    with ui.element("div").classes("rw-stats"):
        its = (
            known if known is not None and known.runs >= ENOUGH else Usual(0, None, None, None, None, None, None, None)
        )
        for label, value, unit, middle, high in (
            ("Tool calls", run.tool_calls, COUNT, its.tool_calls, its.tool_calls_p95),
            ("Took", run.duration_ms, MS, its.duration_ms, its.duration_ms_p95),
            ("Tokens", tokens, COUNT, its.tokens_mean, None),
            ("Cost", run.cost_usd, USD, its.cost_usd, its.cost_usd_p95),
            ("Errors", run.tool_errors, COUNT, None, None),
            ("Retries", run.retries, COUNT, None, None),
            ("Refused calls", run.refused_calls, COUNT, None, None),
        ):
            _figure(label, value, unit, middle, high)


def _question(number: str, text: str) -> ui.column:
    column = ui.column().classes("rw-card gap-2").style("min-width: 0").props(f"data-testid=question-{number}")
    with column, ui.row().classes("items-center no-wrap gap-2"):
        ui.label(number).classes("rw-num")
        ui.label(text).classes("text-weight-medium")
    return column


def _figure(label: str, value: float | None, unit: Unit, middle: float | None, high: float | None) -> None:
    with ui.column().classes("gap-0"):
        ui.label(label).classes("text-sm rw-dim")
        ui.label(unit.said(value)).classes("rw-figure")
        if not middle:
            return
        many = ""
        if value is not None and middle > 0 and value > middle * 1.5:
            many = f"{value / middle:.1f}× " if value < 10 * middle else f"{value / middle:,.0f}× "
        beyond = high is not None and value is not None and value > high
        told = "text-sm " + ("text-weight-medium" if beyond else "rw-dim")
        ui.label(f"{many}{'the ' if many else ''}usual {unit.said(middle)}").classes(told)
        if high is not None:
            ui.label(f"p95 {unit.said(high)}").classes("text-sm rw-dim")


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
