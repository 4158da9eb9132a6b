"""The page /incidents: what is open and what is over, the worst or the newest first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

from nicegui import background_tasks, ui

from ...schemas.rule_names import RULES
from ..ask.fleet import Choices, Span, choices
from ..ask.incidents import IncidentLine, Incidents, Order, Severity, Wanted, incidents, members
from ..ask.now import Wrong
from ..ask.rule_words import in_words
from ..ask.span import LENGTHS_MS
from ..context import Context
from ..pulse import BEAT_S, pulse
from ..widgets import chart
from ..widgets.filters import address
from ..widgets.frame import Page, frame
from ..widgets.incident_row import IncidentRow, IncidentRows, path_of, run_path
from ..widgets.plain import shown

CSS: Final = Path(chart.__file__).with_name("fleet.css")
AGAIN_S: Final = 5.0
CHOICES_S: Final = 60.0
A_PAGE: Final = 50
MOST_SHOWN: Final = 100
"""Single episodes that are shown beneath their line."""

Show = Literal["all", "open", "over"]
_SPANS: Final = {"1h": "Last hour", "24h": "Last day", "7d": "Last week", "30d": "Last 30 days"}
_SHOWS: Final = {"all": "All", "open": "Open", "over": "Over"}
_ORDERS: Final = {"worst": "Worst first", "newest": "Newest first"}
_SEVERITIES: Final = {"": "Any", "warning": "Warning and worse", "critical": "Critical"}
_FAMILIES: Final = {"loop.*": "Any loop", "drift.*": "Any drift", "fleet.*": "Any of the fleet's"}


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer looks at."""

    show: Show = "all"
    order: Order = "worst"
    span: str = "30d"
    agent: str | None = None
    tool: str | None = None
    rule: str | None = None
    severity: Severity | None = None
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> View:
        """From a query string; what is in it that we do not know is left aside."""
        number = query.get("page", "")
        return cls(
            next((each for each in get_args(Show) if each == query.get("show")), "all"),
            next((each for each in get_args(Order) if each == query.get("order")), "worst"),
            query["span"] if query.get("span") in _SPANS else "30d",
            query.get("agent") or None,
            query.get("tool") or None,
            query.get("rule") or None,
            next((each for each in get_args(Severity) if each == query.get("severity")), None),
            min(max(int(number), 1), 10_000) if number.isdecimal() and len(number) < 6 else 1,
        )

    @property
    def address(self) -> str:
        """Where it leads here again."""
        usual = View()
        said: dict[str, str | None] = {}
        for name in ("show", "order", "span", "agent", "tool", "rule", "severity", "page"):
            value = getattr(self, name)
            said[name] = None if value == getattr(usual, name) else str(value)
        return address("/incidents", said)

    def wanted(self, now_ms: int) -> Wanted:
        """What is asked for."""
        return Wanted(
            agent=self.agent,
            tool=self.tool,
            rule=self.rule,
            severity=self.severity,
            is_open=None if self.show == "all" else self.show == "open",
            since_ms=now_ms - LENGTHS_MS[self.span],
        )


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/incidents")
    async def show() -> None:
        ui.add_css(CSS)
        with frame(context, "Incidents", "incidents") as page:
            _List(context, page).build()


class _List:
    """One viewer's page."""

    def __init__(self, context: Context, page: Page) -> None:
        self._context = context
        self._page = page
        self._view = View.of(page.request.query_params)
        self._is_asking = False
        self._is_setting = False

    def build(self) -> None:
        """The elements, empty at first."""
        with ui.row().classes("w-full items-center gap-2"):
            self._toggle("show", _SHOWS)
            self._select("order", _ORDERS, "Order")
            self._select("severity", _SEVERITIES, "Severity")
            rules = {**_FAMILIES, **{rule: in_words(rule) for rule in RULES}}
            if self._view.rule and self._view.rule not in rules:
                rules[self._view.rule] = shown(self._view.rule, 60)
            self._select("rule", {"": "Any", **rules}, "Rule")
            self._agent = self._select("agent", self._agents([]), "Agent")
            self._select("span", _SPANS, "Time")
            if self._view.tool:
                tool = self._view.tool
                ui.chip(f"in {shown(tool, 60)}", removable=True, color=None).props("outline").on(
                    "remove", lambda: self._go(replace(self._view, tool=None, page=1))
                )
        with ui.column().classes("rw-card w-full gap-2"):
            self._title = ui.label("Looking…").classes("rw-title").props("data-testid=incidents-title role=status")
            self._none = ui.label().classes("text-sm rw-dim")
            self._none.visible = False
            self._rows = IncidentRows(
                ui.column().classes("w-full gap-0"),
                lambda wrong: IncidentRow(self._context, self._page, wrong, more=self._more),
            )
            self._pages = ui.pagination(1, 1, direction_links=True, on_change=self._on_page)
            self._pages.props('max-pages=8 data-testid=pages aria-label="Pages"')
            self._pages.visible = False
        ui.timer(BEAT_S, self._beat)
        ui.timer(AGAIN_S, self._offer)

    # -- filters -----------------------------------------------------------------------------------

    def _toggle(self, name: str, options: dict[str, str]) -> None:
        ui.toggle(options, value=getattr(self._view, name), on_change=lambda event: self._set(name, event.value)).props(
            f"dense no-caps unelevated toggle-color=primary data-testid=filter-{name}"
        )

    def _select(self, name: str, options: dict[str, str], label: str) -> ui.select:
        return (
            ui.select(
                options,
                value=getattr(self._view, name) or "",
                label=label,
                on_change=lambda event: self._set(name, event.value),
            )
            .props(f"dense outlined options-dense data-testid=filter-{name}")
            .classes("rw-filter")
        )

    def _agents(self, known: list[str]) -> dict[str, str]:
        chosen = self._view.agent
        names = ([chosen] if chosen and chosen not in (*known, "*") else []) + known
        return {"": "Any", "*": "Several together", **{name: shown(name, 60) for name in names}}

    def _set(self, name: str, value: str) -> None:
        changes: dict[str, Any] = {name: value or None}
        if not self._is_setting and getattr(self._view, name) != changes[name]:
            self._go(replace(self._view, page=1, **changes))

    def _on_page(self, event: Any) -> None:
        if not self._is_setting and event.value != self._view.page:
            self._go(replace(self._view, page=event.value))

    def _go(self, view: View) -> None:
        self._view = view
        ui.navigate.history.replace(view.address)
        background_tasks.create(self._beat())

    # -- what is asked and shown -------------------------------------------------------------------

    async def _beat(self) -> None:
        """Every beat: only whether anything new was found; the list itself when that is so, or it may be old."""
        if self._is_asking:
            return
        self._is_asking = True
        try:
            view = self._view
            beat = await pulse(self._context)
            found = (
                await self._context.live.ask(("incidents", beat, view), AGAIN_S, partial(_listed, view=view))
            ).value
            if view != self._view:
                return
            if found is not None:
                self._show(found)
        finally:
            self._is_asking = False

    async def _offer(self) -> None:
        """The agents to choose from, beside the list: what is new there does not wait for them."""
        offered = (await self._context.live.ask(("choices", "30d"), CHOICES_S, _chosen)).value
        if offered is not None and (agents := self._agents(offered.agents)) != self._agent.options:
            self._is_setting = True
            self._agent.set_options(agents, value=self._view.agent or "")
            self._is_setting = False

    def _show(self, found: Incidents) -> None:
        self._title.text = _title(found, self._view)
        self._none.text = _nothing(self._view)
        self._none.visible = not found.lines
        lines = {_key(line): line for line in found.lines}
        self._rows.show({key: _plain(line) for key, line in lines.items()})
        pages = max(1, -(-found.total // A_PAGE))
        self._is_setting = True
        self._pages.max, self._pages.value = pages, min(self._view.page, pages)
        self._is_setting = False
        self._pages.visible = pages > 1

    async def _more(self, column: ui.column, line: IncidentLine) -> None:
        """The single loops of a line."""
        found = await self._context.store.ask(partial(members, line=line, limit=MOST_SHOWN))
        column.clear()
        with column:
            loops_table(self._page, found)
            if line.episodes > len(found):
                ui.label(f"and {line.episodes - len(found):,} more").classes("text-xs rw-dim")


def loops_table(page: Page, loops: list[IncidentLine]) -> None:
    """Single loops, each with its incident and its run."""
    columns = [
        {"name": name, "label": label, "field": name, "align": "left", "classes": hide, "headerClasses": hide}
        for name, label, hide in (
            ("at", "Found", ""), ("what", "What", ""), ("run", "Run", ""), ("version", "Version", "gt-xs"),
            ("state", "State", "gt-xs"), ("says", "Says", "gt-sm"),
        )
    ]  # fmt: skip
    rows = [
        {
            "key": loop.anomaly_id,
            "at": page.clock(loop.latest_ms),
            "what": loop.words,
            "severity": f"rw-{loop.severity}" if loop.severity != "info" else "",
            "run": shown(loop.run_id or "–", 40),
            "version": shown(loop.agent_version or "–", 40),
            "state": "under way" if loop.is_open else "over",
            "says": shown(loop.sentence, 200),
            "href": path_of(loop.anomaly_id),
            "run_href": run_path(loop.run_id or ""),
        }
        for loop in loops
    ]
    table = ui.table(columns=columns, rows=rows, row_key="key", pagination={"rowsPerPage": 10})
    table.classes("w-full rw-list").props("flat dense data-testid=loops")
    table.add_slot("body-cell-what", '<q-td :props="props"><a :href="props.row.href">{{ props.row.what }}</a></q-td>')
    table.add_slot(
        "body-cell-run",
        '<q-td :props="props"><a class="rw-mono" :href="props.row.run_href">{{ props.row.run }}</a></q-td>',
    )
    table.add_slot(
        "body-cell-says",
        '<q-td :props="props"><div class="rw-cell" :title="props.row.says">{{ props.row.says }}</div></q-td>',
    )


def _listed(reader: Any, view: View) -> Incidents:
    wanted = view.wanted(int(time.time() * 1000))
    return incidents(reader, wanted, view.order, A_PAGE, (view.page - 1) * A_PAGE)


def _chosen(reader: Any) -> Choices:
    return choices(reader, Span.last("30d", int(time.time() * 1000)))


def _key(line: IncidentLine) -> tuple[object, ...]:
    """What a line is known by while its numbers change."""
    if line.is_group:
        return "group", line.agent, line.tool, line.opened_ms
    return line.anomaly_id, line.is_group


def _plain(line: IncidentLine) -> Wrong:
    return Wrong(line, line.agent_version, None, 0.0, 0.0)


def _title(found: Incidents, view: View) -> str:
    kind = {"all": "", "open": "open ", "over": "past "}[view.show]
    return f"{found.total:,} {kind}incident{'' if found.total == 1 else 's'}"


def _nothing(view: View) -> str:
    if view == replace(View(), show=view.show, order=view.order):
        if view.show == "open":
            return "Nothing is wrong now. What was is under All."
        return "Nothing was found so far. `runwatch demo` shows what it looks like when something is."
    return "Nothing of the kind was found in this time: choose a longer one, or fewer filters."
