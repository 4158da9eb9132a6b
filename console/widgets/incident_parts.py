"""The parts of an incident's page, each made of what there is to say."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from nicegui import ui

from ...control.scopes import version_scope
from ..ask.causes import Cause, Shift
from ..ask.incident import Call, Done, RunLine, State
from ..ask.incidents import IncidentLine
from .command import command_button
from .filters import address
from .frame import Page
from .incident_row import lasting, path_of, run_path, whereabouts
from .plain import shown
from .severity import mark
from .units import MS, SHARE

if TYPE_CHECKING:
    from ..context import Context

_ICONS: Final = {
    "version": "new_releases",
    "model": "psychology",
    "prompt": "description",
    "tools": "build",
    "failing": "report",
    "attempts": "replay",
}
_MODES: Final = {"stop": "Stopped", "disable_writes": "Writes disabled for", "allow": "Allowed"}
_MOST_COMMANDS: Final = 6
_SHORT: Final = 10
"""Digits of a hash, and letters of a run's id, that are shown."""


def causes(context: Context, page: Page, found: Sequence[Cause]) -> None:
    """What changed as it began, with the command that stops just that."""
    if not found:
        ui.label(
            "Nothing that changed was recorded: no new version, model, prompt or tool set, and no tool that fails more."
        ).classes("text-sm rw-dim")
        return
    for cause in found:
        with ui.row().classes("rw-cause items-start no-wrap").props(f"data-testid=cause-{cause.kind}"):
            ui.icon(_ICONS.get(cause.kind, "info")).classes("text-lg rw-dim").style("margin-top: 1px")
            with ui.column().classes("gap-0").style("min-width: 0"):
                ui.label(shown(cause.sentence, 400)).classes("rw-sentence")
                with ui.row().classes("rw-facts items-center"):
                    if cause.at_ms is not None:
                        ui.label(f"at {page.clock(cause.at_ms)}")
                    said: dict[str, str | None] = {"agent": cause.agent, "version": cause.version, "tool": cause.tool}
                    ui.link("in the fleet", address("/", said))
                    if cause.agent and cause.version:
                        scope = version_scope(cause.agent, cause.version)
                        command_button(context, page, scope, "Stop this version…", "stop").props("size=sm")


def calls_table(page: Page, value: tuple[IncidentLine, Sequence[Call]]) -> None:
    """The calls that a loop stands on."""
    calls = value[1]
    if not calls:
        return
    ui.label(f"The {len(calls)} calls that it stands on; what has the same hash is the same").classes("text-sm")
    has_codes = any(call.http_status is not None for call in calls)
    columns = [
        _column("seq", "Step", right=True), _column("tool", "Tool"), _column("args", "Arguments"),
        _column("came", "What came back"), _column("result", "Result"),
        _column("attempt", "Try", right=True, hide="gt-xs"), _column("took", "Took", right=True, hide="gt-xs"),
    ]  # fmt: skip
    rows = [
        {
            "key": call.seq,
            "seq": call.seq,
            "tool": shown(call.tool or "–", 40),
            "args": (call.args_sha or "–")[:_SHORT],
            "came": _came(call, has_codes),
            "result": (call.result_sha or "–")[:_SHORT],
            "attempt": call.attempt or 1,
            "took": MS.said(call.duration_ms),
        }
        for call in calls
    ]
    table = ui.table(columns=columns, rows=rows, row_key="key", pagination={"rowsPerPage": 12})
    table.classes("w-full rw-list").props(f"flat dense data-testid=evidence-calls {_foot(len(rows), 12)}")


def _came(call: Call, has_codes: bool) -> str:
    told = shown(call.error, 60) if call.error else call.status
    return f"{told} {call.http_status}" if has_codes and call.http_status is not None else told


def runs_table(page: Page, value: tuple[IncidentLine, Sequence[RunLine]]) -> None:
    """Runs, each a click from its own page."""
    line, runs = value
    if not runs:
        ui.label("None of its runs is stored any more.").classes("text-sm rw-dim")
        return
    if line.run_id is None:
        ui.label("Of those since the onset, the ones that loop and call most").classes("text-xs rw-dim")
    columns = [
        _column("run", "Run"), _column("version", "Version"), _column("started", "Began", hide="gt-xs"),
        _column("calls", "Calls", right=True), _column("repeats", "Repeats", right=True),
        _column("errors", "Errors", right=True, hide="gt-xs"), _column("retries", "Retries", right=True, hide="gt-xs"),
        _column("loops", "Loops", right=True, hide="gt-xs"), _column("stop", "Stopped by"),
    ]  # fmt: skip
    rows = [
        {
            "key": run.run_id,
            "run": shown(run.run_id, 40),
            "href": run_path(run.run_id),
            "version": shown(run.agent_version or "–", 40),
            "started": page.clock(run.started_ms),
            "calls": run.calls,
            "repeats": run.repeats,
            "errors": run.errors,
            "retries": run.retries,
            "loops": run.loops,
            "stop": shown(run.stop_reason or "under way", 40),
        }
        for run in runs
    ]
    table = ui.table(columns=columns, rows=rows, row_key="key", pagination={"rowsPerPage": 10})
    table.classes("w-full rw-list").props(f"flat dense data-testid=incident-runs {_foot(len(rows), 10)}")
    table.add_slot(
        "body-cell-run",
        '<q-td :props="props"><a class="rw-mono rw-run" data-testid="run-link" :href="props.row.href"'
        ' :title="props.row.run">{{ props.row.run }}</a></q-td>',
    )


def done(page: Page, found: Done) -> None:
    """Commands of the policy and of people."""
    if not found.commands:
        ui.label("Nothing so far: no command names it, its agent, its tool or the fleet.").classes("text-sm rw-dim")
        return
    told = []
    if found.runs_stopped:
        told.append(f"{found.runs_stopped:,} run{'' if found.runs_stopped == 1 else 's'} stopped")
    if found.refusals:
        told.append(f"{found.refusals:,} call{'' if found.refusals == 1 else 's'} refused")
    if told:
        ui.label(f"{' and '.join(told)}.").classes("text-sm font-medium")
    for command in found.commands[:_MOST_COMMANDS]:
        with ui.column().classes("w-full gap-0"):
            with ui.row().classes("items-baseline gap-2 w-full"):
                ui.label(page.clock(command.ts_ms)).classes("text-xs rw-dim")
                kind, _, name = command.scope.partition(":")
                ui.label(f"{_MODES.get(command.mode, command.mode)} {'' if kind == 'fleet' else kind}").classes(
                    "text-sm"
                )
                if kind == "run":
                    ui.link(shown(name, 40), run_path(name)).classes("rw-mono rw-run")
                else:
                    ui.label(shown(name or "the whole fleet", 60)).classes("text-sm")
            ui.label(f"by {shown(command.by, 60)}: {shown(command.why, 160)}").classes("text-xs rw-dim rw-wrap")
    if found.total > _MOST_COMMANDS:
        ui.link(f"and {found.total - _MOST_COMMANDS:,} more, in the audit", "/control").classes("text-sm")


def stops(found: Sequence[Shift]) -> None:
    """How runs stopped, before the onset and since."""
    if not found:
        ui.label("No run has ended in this time.").classes("text-sm rw-dim")
        return
    with ui.grid(columns="minmax(0, 1fr) auto auto auto").classes("w-full gap-x-4 gap-y-1 text-sm items-baseline"):
        for label in ("", "before", "since", "runs"):
            ui.label(label).classes("text-xs rw-dim text-right")
        for shift in found:
            ui.label(shown(shift.reason, 60)).classes("rw-wrap")
            ui.label(SHARE.said(shift.before)).classes("text-right rw-dim")
            ui.label(SHARE.said(shift.since)).classes("text-right")
            ui.label(f"{shift.runs:,}").classes("text-right rw-dim")


def others(page: Page, found: Sequence[IncidentLine]) -> None:
    """What else was wrong at that time."""
    if not found:
        ui.label("Nothing else was wrong.").classes("text-sm rw-dim")
        return
    for line in found:
        with ui.row().classes("items-start no-wrap gap-2 w-full").props("data-testid=other"):
            mark(line.severity, is_open=line.is_open, word=False)
            with ui.column().classes("gap-0").style("min-width: 0"):
                ui.link(shown(line.sentence, 200), path_of(line.anomaly_id)).classes("rw-sentence text-sm")
                with ui.row().classes("rw-facts"):
                    ui.label(whereabouts(line, line.agent_version))
                    ui.label(lasting(line, page, int(time.time() * 1000)))


def states(page: Page, found: Sequence[State]) -> None:
    """What was said of it, and when."""
    for state in found:
        with ui.column().classes("w-full gap-0"):
            with ui.row().classes("items-center gap-2"):
                mark(state.severity, is_open=state.state != "resolved", word=False)
                ui.label(state.state).classes("text-sm font-medium")
                ui.label(page.clock(state.ts_ms)).classes("text-xs rw-dim").tooltip(
                    f"by the events' clocks; stored at {page.clock(state.stored_ms)}"
                )
            ui.label(shown(state.message, 400)).classes("text-xs rw-dim rw-wrap")


def _foot(rows: int, a_page: int) -> str:
    """A table of one page has nothing to turn."""
    return "hide-pagination" if rows <= a_page else ""


def _column(name: str, label: str, *, right: bool = False, hide: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "field": name,
        "align": "right" if right else "left",
        "classes": hide,
        "headerClasses": hide,
    }
