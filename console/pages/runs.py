"""The page /runs: the latest runs, by what is known of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from nicegui import ui
from starlette.requests import Request

from ..ask.runs import MOST, RunChoices, RunFilter, RunList, RunRow, choices, runs
from ..context import Context
from ..widgets.frame import Page, frame
from ..widgets.plain import shown
from ..widgets.steps import STYLE, brief
from ..widgets.units import MS, USD

LOOK_S: Final = 2.0
CHOICES_S: Final = 30.0
A_PAGE: Final = 50
NAME: Final = 48

_COLUMNS: Final = [
    {"name": name, "label": label, "field": name, "align": align, "classes": hide, "headerClasses": hide}
    for name, label, align, hide in (
        ("last", "Last event", "left", ""),
        ("run", "Run", "left", ""),
        ("agent", "Agent", "left", ""),
        ("version", "Version", "left", "gt-sm"),
        ("model", "Model", "left", "gt-md"),
        ("steps", "Steps", "right", "gt-sm"),
        ("calls", "Calls", "right", "gt-xs"),
        ("errors", "Errors", "right", "gt-sm"),
        ("took", "Took", "right", "gt-xs"),
        ("cost", "Cost", "right", "gt-sm"),
        ("stop", "Stopped by", "left", ""),
        ("found", "Found", "left", "gt-xs"),
    )
]

_BODY: Final = """
<q-tr :props="props" data-testid="run-row">
  <q-td v-for="col in props.cols" :key="col.name" :props="props">
    <a v-if="col.name === 'run'" :href="props.row.href" class="rw-quiet-link rw-mono">{{ props.row.run }}</a>
    <div v-else class="rw-cut" :title="col.value"
      :class="['rw-short', col.name === 'stop' && props.row.open ? 'rw-dim' : '']">
      {{ col.value }}</div>
  </q-td>
</q-tr>
"""


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/runs")
    async def show(request: Request) -> None:
        with frame(context, "Runs", "runs") as page:
            ui.add_css(STYLE)
            view = _View(context, page, filter_of(dict(request.query_params)))
            ui.timer(LOOK_S, view.look)


def filter_of(query: dict[str, str]) -> RunFilter:
    """What a page's address asks for; what it does not know is left aside."""
    return RunFilter(
        agent=query.get("agent", ""),
        version=query.get("version", ""),
        model=query.get("model", ""),
        stop_reason=query.get("stop_reason", ""),
        run_id=query.get("run_id", "").strip(),
        anomalous=query.get("anomalous") == "1",
        unfinished=query.get("unfinished") == "1",
    )


def address(its: RunFilter) -> str:
    """The page's address that asks for that."""
    texts = {name: getattr(its, name) for name in ("agent", "version", "model", "stop_reason", "run_id")}
    flags = {name: "1" for name in ("anomalous", "unfinished") if getattr(its, name)}
    query = urlencode({name: value for name, value in texts.items() if value} | flags)
    return f"/runs?{query}" if query else "/runs"


class _View:
    def __init__(self, context: Context, page: Page, its: RunFilter) -> None:
        self._context = context
        self._page = page
        self._its = its
        self._limit = A_PAGE
        self._shown: tuple[RunFilter, RunList] | None = None
        self._build()

    async def look(self) -> None:
        """Shows what is known now."""
        its, limit = self._its, self._limit
        found = await self._context.live.ask(("runs", its, limit), LOOK_S, partial(runs, its=its, limit=limit))
        known = await self._context.live.ask(("run-choices", its.agent), CHOICES_S, partial(choices, agent=its.agent))
        if self._table.is_deleted or its != self._its:
            return
        if known.value is not None:
            self._offer(known.value)
        if found.value is None:
            self._empty_text.text = shown(found.error or "", 400)
            self._empty.visible = True
        elif (its, found.value) != self._shown:
            self._shown = (its, found.value)
            self._show(found.value)

    # -- parts -------------------------------------------------------------------------------------

    def _build(self) -> None:
        its = self._its
        with ui.row().classes("w-full items-center gap-2"):
            ui.label("Runs").classes("rw-title q-mr-sm")
            self._agent = self._select("Agent", "agent", its.agent)
            self._version = self._select("Version", "version", its.version)
            self._reason = self._select("Stopped by", "stop_reason", its.stop_reason)
            self._id = (
                ui.input(
                    "Run id begins with",
                    value=its.run_id,
                    on_change=lambda e: self._set(run_id=(e.value or "").strip()),
                )
                .props("outlined dense clearable debounce=400 data-search data-testid=runs-id")
                .style("width: 230px")
            )
            ui.checkbox(
                "Something found", value=its.anomalous, on_change=lambda e: self._set(anomalous=bool(e.value))
            ).props("dense data-testid=runs-anomalous")
            ui.checkbox(
                "Not stopped", value=its.unfinished, on_change=lambda e: self._set(unfinished=bool(e.value))
            ).props("dense data-testid=runs-unfinished")
        self._table = (
            ui.table(columns=_COLUMNS, rows=[], row_key="id", pagination=0)
            .props("flat dense hide-bottom data-testid=runs")
            .classes("rw-list rw-card w-full q-pa-none")
        )
        self._table.add_slot("body", _BODY)
        with ui.row().classes("items-center gap-3"):
            self._more = ui.button("Older runs", on_click=self._older).props("flat no-caps dense data-testid=runs-more")
            self._count = ui.label().classes("text-sm rw-dim")
        self._more.visible = False
        with ui.column().classes("rw-card w-full gap-1").props("data-testid=runs-empty") as self._empty:
            self._empty_text = ui.label("Loading…").classes("rw-wrap")
            self._empty_help = ui.label().classes("text-sm rw-dim rw-wrap")
        self._table.visible = False

    def _select(self, label: str, name: str, value: str) -> ui.select:
        options = {"": "all"} | ({value: shown(value, NAME)} if value else {})
        return (
            ui.select(options, label=label, value=value, on_change=lambda e: self._set(**{name: e.value or ""}))
            .props(f"outlined dense options-dense data-testid=runs-{name.replace('_', '-')}")
            .style("min-width: 120px; max-width: 220px")
        )

    def _offer(self, known: RunChoices) -> None:
        for select, names in (
            (self._agent, known.agents),
            (self._version, known.versions),
            (self._reason, known.stop_reasons),
        ):
            options = {"": "all"} | {name: shown(name, NAME) for name in names}
            if select.value and select.value not in options:
                options[select.value] = shown(select.value, NAME)
            if select.options != options:
                select.set_options(options, value=select.value)

    def _set(self, **changed: Any) -> None:
        its = replace(self._its, **changed)
        if its == self._its:
            return
        if "agent" in changed and its.version:
            its = replace(its, version="")
            self._its = its
            self._version.value = ""
        self._its = its
        self._limit = A_PAGE
        ui.run_javascript(f"history.replaceState(null, '', {_js(address(its))})")
        ui.timer(0.01, self.look, once=True)

    def _older(self) -> None:
        self._limit = min(MOST, self._limit * 2)
        ui.timer(0.01, self.look, once=True)

    def _show(self, found: RunList) -> None:
        self._table.rows = [self._row(one) for one in found.runs]
        self._table.update()
        self._table.visible = bool(found.runs)
        self._empty.visible = not found.runs
        self._more.visible = found.more and self._limit < MOST
        few = f"{len(found.runs):,} run{'' if len(found.runs) == 1 else 's'}"
        self._count.text = "" if not found.runs else f"the latest {few}; filters find older ones" if found.more else few
        if not found.runs:
            if self._its == RunFilter():
                self._empty_text.text = "No run is stored yet."
                self._empty_help.text = (
                    "`runwatch demo` shows an incident with simulated agents; docs/sdk.md tells how an agent of your "
                    "own is connected in three lines."
                )
            else:
                self._empty_text.text = "No stored run is of this kind."
                self._empty_help.text = "Choose fewer filters above; a run's id is looked for by how it begins."

    def _row(self, run: RunRow) -> dict[str, Any]:
        return {
            "id": run.run_id,
            "href": f"/runs/{quote(run.run_id, safe='')}",
            "last": self._page.clock(run.last_ms),
            "run": brief(run.run_id, 13),
            "agent": brief(run.agent, NAME),
            "version": brief(run.agent_version or "", NAME),
            "model": brief(run.model or "", NAME),
            "steps": f"{run.steps:,}",
            "calls": f"{run.tool_calls:,}",
            "errors": f"{run.tool_errors:,}" if run.tool_errors else "",
            "took": MS.said(run.duration_ms),
            "cost": USD.said(run.cost_usd),
            "stop": brief(run.stop_reason or "", NAME) if run.stopped_ms is not None else "under way",
            "open": run.stopped_ms is None,
            "found": ", ".join(run.rules),
        }


def _js(text: str) -> str:
    """A text of our own making, percent-encoded, as JavaScript has it."""
    return "'" + text.replace("\\", "%5C").replace("'", "%27") + "'"
