"""An incident as a row: how bad, what, since when, where, why its runs stop; and the ways on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from nicegui import ui

from ...control.scopes import agent_scope, run_scope
from ..ask.incidents import IncidentLine
from ..ask.now import Wrong
from .command import command_button
from .frame import Page
from .plain import shown
from .severity import mark
from .units import SHARE
from .when import span

if TYPE_CHECKING:
    from ..context import Context

_NAME: Final = 60


def path_of(anomaly_id: str) -> str:
    """Where an incident's page is."""
    return f"/incidents/{quote(anomaly_id, safe='')}"


def run_path(run_id: str) -> str:
    """Where a run's page is."""
    return f"/runs/{quote(run_id, safe='')}"


def scope_of(line: IncidentLine) -> str:
    """Whom a command because of it is for: the run of a loop under way, else the agent; of several, the tool."""
    if line.run_id is not None and line.is_open and not line.is_group:
        return run_scope(line.run_id)
    if line.agent != "*":
        return agent_scope(line.agent)
    return f"tool:{line.tool}" if line.tool else "fleet"


def lasting(line: IncidentLine, page: Page, now_ms: int) -> str:
    """Since when, and how long."""
    if line.is_open:
        return f"since {page.clock(line.onset_ms)} ({span(max(now_ms - line.onset_ms, 0))})"
    return f"{page.clock(line.onset_ms)}, for {span(max(line.latest_ms - line.onset_ms, 0))}"


def whereabouts(line: IncidentLine, version: str | None) -> str:
    """Agent, version and tool."""
    agent = "several agents" if line.agent == "*" else shown(line.agent, _NAME)
    return " · ".join([agent, *(shown(each, _NAME) for each in (version, line.tool) if each)])


class IncidentRow:
    """A row, updated in place. `acts`: with the buttons Look and Stop….

    Of a line that stands for several, `more` is called with the column that is to hold them, once it is opened.
    """

    def __init__(
        self,
        context: Context,
        page: Page,
        wrong: Wrong,
        *,
        acts: bool = False,
        more: Callable[[ui.column, IncidentLine], Awaitable[None]] | None = None,
    ) -> None:
        line = wrong.line
        self._page = page
        self._line = line
        self._more = more
        self._look = f"rw-incident-{line.severity}" if line.is_open else "rw-incident-over"
        with (
            ui.column().classes("w-full gap-0 rw-incident-place") as self.place,
            ui.row().classes(f"rw-incident {self._look} items-center").props("data-testid=incident-row") as self._row,
        ):
            self._row.props["data-anomaly"] = line.anomaly_id
            self._mark = ui.row().classes("rw-incident-mark")
            with self._mark:
                mark(line.severity, is_open=line.is_open)
            with ui.column().classes("gap-0 col").style("min-width: 220px"):
                self._sentence = ui.link("", path_of(line.anomaly_id)).classes("rw-sentence")
                with ui.row().classes("rw-facts"):
                    self._since = ui.label()
                    self._where = ui.label()
                    self._stops = ui.label()
            with ui.row().classes("items-center gap-2 no-wrap"):
                if more is not None and line.is_group:
                    self._opener = ui.button(f"{line.episodes:,}", icon="expand_more", color=None).props(
                        "flat dense no-caps data-testid=expand"
                    )
                    self._opener.on_click(self._turn).tooltip("Show each")
                if acts:
                    ui.button("Look", on_click=lambda: ui.navigate.to(path_of(self._line.anomaly_id))).props(
                        "no-caps dense outline color=primary data-testid=look"
                    ).classes("q-px-sm")
                    command_button(context, page, scope_of(line), "Stop…", "stop")
        with self.place:
            self._below = ui.column().classes("w-full rw-below")
        self._below.visible = False
        self.show(wrong)

    def show(self, wrong: Wrong) -> None:
        """What is known of it now. A text that is there already is not sent again."""
        line, before = wrong.line, self._line
        self._line = line
        if (line.severity, line.is_open) != (before.severity, before.is_open):
            look = f"rw-incident-{line.severity}" if line.is_open else "rw-incident-over"
            self._row.classes(add=look, remove=self._look)
            self._look = look
            self._mark.clear()
            with self._mark:
                mark(line.severity, is_open=line.is_open)
        if line.anomaly_id != before.anomaly_id:
            self._row.props["data-anomaly"] = line.anomaly_id
            self._sentence.props["href"] = path_of(line.anomaly_id)
        self._sentence.text = shown(line.sentence, 400)
        self._since.text = lasting(line, self._page, int(time.time() * 1000))
        self._where.text = whereabouts(line, wrong.version)
        self._stops.text = (
            f"runs stop more by {shown(wrong.stop_reason, 40)}: {SHARE.said(wrong.stop_share)}, "
            f"was {SHARE.said(wrong.stop_before)}"
            if wrong.stop_reason
            else ""
        )
        self._stops.visible = bool(wrong.stop_reason)
        if self._more is not None and line.is_group:
            self._opener.text = f"{line.episodes:,}"

    async def _turn(self) -> None:
        assert self._more is not None
        self._below.visible = not self._below.visible
        self._opener.props(f"icon={'expand_less' if self._below.visible else 'expand_more'}")
        if self._below.visible:
            await self._more(self._below, self._line)


class IncidentRows:
    """Rows in an order. What stays is not drawn anew: who reads, or has opened one, is not disturbed."""

    def __init__(self, place: ui.column, make: Callable[[Wrong], IncidentRow]) -> None:
        self._place = place
        self._make = make
        self._rows: dict[Hashable, IncidentRow] = {}

    def show(self, wanted: Mapping[Hashable, Wrong]) -> None:
        """Shows these, by what each is known by, in this order."""
        for key in [key for key in self._rows if key not in wanted]:
            self._rows.pop(key).place.delete()
        for key, wrong in wanted.items():
            if key in self._rows:
                self._rows[key].show(wrong)
            else:
                with self._place:
                    self._rows[key] = self._make(wrong)
        self._rows = {key: self._rows[key] for key in wanted}
        for at, row in enumerate(self._rows.values()):
            if self._place.default_slot.children[at] is not row.place:
                row.place.move(target_index=at)
