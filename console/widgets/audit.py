"""The audit log: filters in the address, newest first, live."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from nicegui import ui

from ...sinks.query import Reader
from ..ask.audit import KINDS, MOST, Audit, AuditEntry, AuditFilter, audit
from ..ask.span import LENGTHS_MS
from .frame import Page
from .in_force import WORDS
from .plain import shown

if TYPE_CHECKING:
    from ..context import Context

LOOK_S: Final = 2.0
A_PAGE: Final = 25
NAME: Final = 60
WHY: Final = 300
SPANS: Final = ("1h", "24h", "7d", "30d")
USUAL_SPAN: Final = "24h"
EVERY_S: Final = {"1h": LOOK_S, "24h": LOOK_S, "7d": 10.0, "30d": 30.0}
"""How old an answer may be: of a long time it costs more, and its newest part is the same."""
SAID: Final = {
    "all": "everything",
    "people": "people",
    "policy": "the policy",
    "refusals": "refused calls",
    "dry": "dry runs",
    "approvals": "approvals",
    "alerts": "silences",
}

_COLUMNS: Final = [
    {"name": name, "label": label, "field": name, "align": "left", "classes": hide, "headerClasses": hide}
    for name, label, hide in (
        ("at", "When", ""),
        ("who", "Who", ""),
        ("what", "What", ""),
        ("whom", "Whom", ""),
        ("why", "Why", "gt-sm"),
    )
]

_BODY: Final = """
<q-tr :props="props" data-testid="audit-row">
  <q-td class="rw-dim" style="white-space: nowrap">{{ props.row.at }}</q-td>
  <q-td><div class="rw-cut" :title="props.row.who">{{ props.row.who }}</div></q-td>
  <q-td><div class="rw-cut rw-short" :title="props.row.what">{{ props.row.what }}</div></q-td>
  <q-td><a v-if="props.row.href" :href="props.row.href" class="rw-quiet-link rw-cut" style="display: block"
      :title="props.row.whom">{{ props.row.whom }}</a>
    <div v-else class="rw-cut" :title="props.row.whom">{{ props.row.whom }}</div></q-td>
  <q-td class="gt-sm rw-why">{{ props.row.why }}
    <a v-if="props.row.incident" :href="props.row.incident" class="rw-quiet-link">incident</a></q-td>
</q-tr>
"""


class AuditLog:
    """The log, with its filters. Use within a page."""

    def __init__(self, context: Context, page: Page, query: dict[str, str]) -> None:
        """`query`: the address's, of which `audit`, `find` and `span` are read."""
        self._context = context
        self._page = page
        kinds = [one for one in KINDS if one == query.get("audit")]
        self._its = AuditFilter(kinds[0] if kinds else "all", query.get("find", ""))
        self._span = query["span"] if query.get("span") in SPANS else USUAL_SPAN
        self._kind, self._text, self._chosen_span = self._its.kind, self._its.text, self._span
        self._limit = A_PAGE
        self._shown: object = None
        self._build()
        ui.timer(LOOK_S, self.look)

    async def look(self) -> None:
        """Shows what is known now."""
        its, span, limit = self._its, self._span, self._limit
        found = await self._context.live.ask(
            ("audit", its, span, limit), EVERY_S[span], partial(_latest, its=its, span=span, limit=limit)
        )
        if self._table.is_deleted or (its, span, limit) != (self._its, self._span, self._limit):
            return
        if found.value is None:
            self._empty.text = shown(found.error or "", 400)
            return
        if found.value != self._shown:
            self._shown = found.value
            self._show(found.value)

    def _build(self) -> None:
        with ui.row().classes("w-full items-center gap-2"):
            ui.label("Audit").classes("rw-title q-mr-sm")
            ui.select(
                {one: SAID[one] for one in KINDS}, label="Of", value=self._its.kind, on_change=self._changed
            ).props("outlined dense options-dense data-testid=audit-kind").style("min-width: 130px").bind_value_to(
                self, "_kind"
            )
            ui.select(list(SPANS), label="Last", value=self._span, on_change=self._changed).props(
                "outlined dense options-dense data-testid=audit-span"
            ).style("min-width: 84px").bind_value_to(self, "_chosen_span")
            ui.input("Name, scope or reason", value=self._its.text, on_change=self._changed).props(
                "outlined dense clearable debounce=400 data-testid=audit-find"
            ).style("width: 230px").bind_value_to(self, "_text")
        self._table = (
            ui.table(columns=_COLUMNS, rows=[], row_key="id", pagination=0)
            .props("flat dense hide-bottom data-testid=audit")
            .classes("rw-list w-full")
        )
        self._table.add_slot("body", _BODY)
        self._empty = ui.label("Loading…").classes("text-sm rw-dim rw-wrap").props("data-testid=audit-empty")
        self._more = ui.button("Older entries", on_click=self._older).props("flat no-caps dense")
        self._table.visible = self._more.visible = False

    def _changed(self, _: object) -> None:
        # Bindings hold the new values once the event is over.
        ui.timer(0.01, self._go, once=True)

    async def _go(self) -> None:
        its = AuditFilter(self._kind, (self._text or "").strip())
        if (its, self._chosen_span) == (self._its, self._span):
            return
        self._its, self._span, self._limit = its, self._chosen_span, A_PAGE
        given = {"audit": its.kind if its.kind != "all" else "", "find": its.text}
        given["span"] = self._span if self._span != USUAL_SPAN else ""
        query = urlencode({name: value for name, value in given.items() if value}).replace("'", "%27")
        ui.run_javascript(f"history.replaceState(null, '', '/control{'?' + query if query else ''}')")
        await self.look()

    async def _older(self) -> None:
        self._limit = min(MOST, self._limit * 2)
        await self.look()

    def _show(self, found: Audit) -> None:
        self._table.rows = [self._row(at, one) for at, one in enumerate(found.entries)]
        self._table.update()
        self._table.visible = bool(found.entries)
        self._empty.visible = not found.entries
        self._empty.text = (
            "Nothing was said to agents, and nothing refused, in this time."
            if self._its == AuditFilter()
            else "Nothing of this kind in this time: choose another, or a longer time."
        )
        self._more.visible = found.more and self._limit < MOST

    def _row(self, at: int, one: AuditEntry) -> dict[str, Any]:
        refusal = one.entry == "refusal"
        what = f"refused {shown(one.tool, NAME)}".strip() if refusal else _said(one)
        return {
            "id": at,
            "at": self._page.clock(one.at_ms),
            "who": shown(one.who, NAME),
            "what": what,
            "whom": shown(one.scope, NAME),
            "href": f"/runs/{quote(one.run_id, safe='')}" if one.run_id else "",
            "why": f"{one.what}: {shown(one.why, WHY)}" if refusal else shown(one.why, WHY),
            "incident": f"/incidents/{quote(one.anomaly_id, safe='')}" if one.anomaly_id else "",
        }


def _said(one: AuditEntry) -> str:
    kind = one.scope.partition(":")[0]
    if kind == "approval":
        return "approved" if one.what == "allow" else "denied"
    if kind == "alerts":
        return "heard again" if one.what == "allow" else "silenced"
    return ("would be " if kind == "dry" else "") + WORDS.get(one.what, one.what)


def _latest(reader: Reader, its: AuditFilter, span: str, limit: int) -> Audit:
    now_ms = int(time.time() * 1000)
    # Clocks of agents may be ahead of ours.
    return audit(reader, its, now_ms - LENGTHS_MS[span], now_ms + LENGTHS_MS["24h"], limit)
