"""What stands in the control topic, as a table: whom it binds, who said so and why, how long it still holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from nicegui import ui
from nicegui.events import GenericEventArguments

from ...schemas.controls import Mode
from ..ask.control import Standing
from .command import HOUR_MS, VIEWERS, open_command
from .frame import Page
from .plain import shown
from .steps import STYLE

if TYPE_CHECKING:
    from ..context import Context

COUNTDOWN: Final = Path(__file__).with_name("countdown.js")
NAME: Final = 60
WHY: Final = 240
A_PAGE: Final = 12

WORDS: Final = {
    "stop": "stopped",
    "disable_writes": "may not write",
    "allow": "allowed",
}

_COLUMNS: Final = [
    {"name": name, "label": label, "field": name, "align": "left", "classes": hide, "headerClasses": hide}
    for name, label, hide in (
        ("whom", "Whom", ""),
        ("what", "What", ""),
        ("left", "Still for", "gt-xs"),
        ("by", "By", "gt-xs"),
        ("why", "Why", "gt-sm"),
        ("since", "Since", "gt-sm"),
        ("act", "", ""),
    )
]

_BODY: Final = """
<q-tr :props="props" data-testid="standing-row" :data-scope="props.row.id">
  <q-td><div class="row no-wrap items-baseline" style="gap: 6px">
    <span v-if="props.row.kind" class="rw-dim">{{ props.row.kind }}</span>
    <a v-if="props.row.href" :href="props.row.href" class="rw-quiet-link rw-cut" :title="props.row.name">
      {{ props.row.name }}</a>
    <span v-else class="rw-cut text-weight-medium" :title="props.row.name">{{ props.row.name }}</span></div></q-td>
  <q-td><span :class="props.row.severity">{{ props.row.what }}</span></q-td>
  <q-td class="gt-xs"><span v-if="props.row.until" :data-until="props.row.until"></span>
    <span v-else>until allowed</span></q-td>
  <q-td class="gt-xs"><div class="rw-cut" :title="props.row.by">{{ props.row.by }}</div></q-td>
  <q-td class="gt-sm rw-why">{{ props.row.why }}
    <a v-if="props.row.incident" :href="props.row.incident" class="rw-quiet-link">incident</a></q-td>
  <q-td class="gt-sm rw-dim">{{ props.row.since }}</q-td>
  <q-td class="text-right" style="white-space: nowrap">
    <q-btn v-if="props.row.extend" flat dense no-caps size="sm" label="Extend…" class="gt-xs"
      :disable="props.row.viewer" :title="props.row.viewer ? props.row.viewers : ''" data-testid="extend-button"
      @click="$parent.$emit('act', [props.row.id, props.row.extend])"></q-btn>
    <q-btn v-if="props.row.lift" outline dense no-caps size="sm" color="primary" class="q-px-sm q-ml-xs"
      :label="props.row.lift" :disable="props.row.viewer" :title="props.row.viewer ? props.row.viewers : ''"
      data-testid="allow-button" @click="$parent.$emit('act', [props.row.id, 'allow'])"></q-btn>
  </q-td>
</q-tr>
"""


class InForceTable:
    """The table. Use within a page."""

    def __init__(self, context: Context, page: Page, *, lift: str = "Allow…", testid: str = "in-force") -> None:
        """`lift`: what the button that ends a command is called; empty where there is none."""
        self._context = context
        self._page = page
        self._lift = lift
        self._shown: Sequence[Standing] | None = None
        ui.add_css(STYLE)
        ui.add_body_html(f"<script>{COUNTDOWN.read_text(encoding='utf-8')}</script>")
        self._table = (
            ui.table(columns=_COLUMNS, rows=[], row_key="id", pagination=A_PAGE)
            .props(f"flat dense data-testid={testid}")
            .classes("rw-list w-full")
        )
        self._table.add_slot("body", _BODY)
        self._table.on("act", self._act)

    def show(self, standing: Sequence[Standing]) -> None:
        """Shows these, if they are others than before."""
        if standing == self._shown:
            return
        self._shown = list(standing)
        self._table.rows = [self._row(one) for one in standing]
        if len(standing) > A_PAGE:
            self._table.props(remove="hide-bottom")
        else:
            self._table.props("hide-bottom")
        self._table.visible = bool(standing)
        self._table.update()

    def _act(self, event: GenericEventArguments) -> None:
        scope, mode = event.args
        its = next((one for one in self._shown or () if one.scope == scope), None)
        if its is None:
            ui.notify("It does not stand any more.")
            return
        wanted: Mode = "allow" if mode == "allow" else "stop" if its.mode == "stop" else "disable_writes"
        open_command(self._context, self._page, its.scope, wanted, lasting_ms=None if mode == "allow" else HOUR_MS)

    def _row(self, one: Standing) -> dict[str, Any]:
        binds = one.kind not in ("alerts", "dry")
        dry = one.kind == "dry"
        kind, _, name = one.name.partition(":") if dry and ":" in one.name else (one.kind, "", one.name)
        run = name if kind == "run" else None
        row = {
            "id": one.scope,
            "kind": "" if kind in ("fleet", "alerts") else kind,
            "name": "the whole fleet" if kind == "fleet" else shown(name, NAME),
            "href": f"/runs/{quote(run, safe='')}" if run else "",
            "what": ("would be " if dry and one.mode == "stop" else "would be: " if dry else "")
            + ("silent" if one.kind == "alerts" else WORDS[one.mode]),
            "severity": "" if not binds or one.mode == "allow" else f"rw-{_SEVERITY[one.mode]} text-weight-medium",
            "until": one.until_ms or "",
            "by": shown(one.by, NAME),
            "why": shown(one.why, WHY),
            "since": self._page.clock(one.since_ms),
            "incident": f"/incidents/{quote(one.anomaly_id, safe='')}" if one.anomaly_id else "",
            "extend": one.mode if binds and one.mode != "allow" and self._lift else "",
            "lift": self._lift if one.mode != "allow" else "",
            "viewer": not self._page.operates,
            "viewers": VIEWERS,
        }
        return {name: value for name, value in row.items() if value != ""}


_SEVERITY: Final = {"stop": "critical", "disable_writes": "warning"}
