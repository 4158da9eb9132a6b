"""The page /sql: an editor over the reading user, what to begin with, and the result."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from ...clickhouse import StoreError
from ..ask.sql import EXPORT_ROWS, OFF, Query, Result, Started, View, views
from ..ask.sql_examples import EXAMPLES
from ..ask.sql_wire import SqlError, SqlStopped
from ..context import Context
from ..widgets.frame import frame
from ..widgets.plain import shown
from ..widgets.sql_result import ResultView
from ..widgets.theme import THEME_COOKIE
from ..widgets.units import COUNT

_STYLE: Final = Path(__file__).parents[1] / "widgets" / "sql.css"
_LONGEST: Final = 60_000
"""Characters of a query that are taken from an address."""
_LONGEST_LINK: Final = 6_000
_KEPT: Final = "runwatch.sql"
"""Where a browser keeps its own queries."""
_MOST_KEPT: Final = 50
_VIEWS_S: Final = 60.0
_TICK_S: Final = 0.2
_THEMES: Final[dict[bool, Literal["githubDark", "githubLight"]]] = {True: "githubDark", False: "githubLight"}
_BEGIN_JS: Final = f"return [localStorage.getItem('{_KEPT}'), document.body.classList.contains('body--dark')]"
_THEME_JS: Final = """<script>
  document.addEventListener('DOMContentLoaded', () => {
    const isDark = () => document.body.classList.contains('body--dark');
    let dark = isDark();
    new MutationObserver(() => {
      if (dark !== isDark()) emitEvent('rw-dark', dark = isDark());
    }).observe(document.body, {attributes: true, attributeFilter: ['class']});
  });
</script>"""


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/sql")
    async def show(request: Request) -> None:
        with frame(context, "SQL", "sql"):
            ui.add_css(_STYLE)
            if context.sql.is_on:
                await _Desk(context, request).build()
            else:
                with ui.column().classes("rw-card w-full gap-2").props("data-testid=sql-off"):
                    ui.label("SQL is off").classes("rw-title")
                    ui.label(OFF).style("max-width: 70ch")


class _Desk:
    """One viewer's."""

    def __init__(self, context: Context, request: Request) -> None:
        self._context = context
        self._desk = context.sql
        self._given = request.query_params.get("q", "")[:_LONGEST]
        self._dark = request.cookies.get(THEME_COOKIE) == "dark"
        self._query: Query | None = None
        self._began_s = 0.0
        self._kept: dict[str, str] = {}

    async def build(self) -> None:
        """Draws it; nothing is asked by itself, whatever the address says."""
        with ui.element("div").classes("rw-sql"):
            with ui.column().classes("gap-4"):
                self._draw_editor()
                self._draw_result()
            with ui.column().classes("rw-sql-side gap-4"):
                self._draw_examples()
                self._draw_views()
        ui.add_body_html(_THEME_JS)
        ui.on("rw-dark", lambda event: self._editor.set_theme(_THEMES[bool(event.args)]))
        client = ui.context.client
        client.on_disconnect(self._stop)
        await client.connected()
        kept, dark = await ui.run_javascript(_BEGIN_JS)
        self._editor.set_theme(_THEMES[bool(dark)])
        self._kept = _read_kept(kept)
        self._draw_kept()

    # What is asked

    def _draw_editor(self) -> None:
        with ui.column().classes("rw-card w-full gap-3"):
            self._editor = (
                ui.codemirror(
                    self._given or EXAMPLES[0].sql,
                    language="SQL",
                    theme=_THEMES[self._dark],
                    line_wrapping=True,
                    keymap={"Mod-Enter": self._run},
                )
                .classes("rw-sql-editor")
                .props('data-testid=sql-editor aria-label="Query"')
            )
            with ui.row().classes("w-full items-center gap-2"):
                self._go = ui.button("Run", icon="play_arrow", on_click=self._run).props(
                    "unelevated no-caps dense padding='4px 14px 4px 8px' data-testid=sql-run"
                )
                self._end = ui.button("Stop", icon="stop", on_click=self._stop).props(
                    "outline no-caps dense padding='4px 14px 4px 8px' data-testid=sql-stop"
                )
                self._end.visible = False
                ui.label("Ctrl+Enter").classes("text-xs rw-dim gt-xs")
                ui.space()
                for name, icon, action, what in (
                    ("Save", "bookmark_add", self._ask_name, "Keep this query in this browser"),
                    ("Link", "link", self._copy_link, "Copy a link that opens this query; it is not run by itself"),
                    ("CSV", "download", self._download, f"All rows, up to {EXPORT_ROWS:,}, as a file"),
                ):
                    ui.button(name, icon=icon, on_click=action, color=None).classes("rw-dim").props(
                        f"flat no-caps dense padding='4px 8px' data-testid=sql-{name.lower()}"
                    ).tooltip(what)

    def _draw_result(self) -> None:
        with ui.column().classes("rw-card w-full gap-2"):
            with ui.row().classes("w-full items-center gap-2") as head:
                self._busy = ui.spinner(size="18px")
                self._status = ui.label().classes("text-sm rw-dim").props("data-testid=sql-status role=status")
                ui.space()
            self._busy.visible = False
            self._status.text = (
                "This query came with the address. Read it, then run it."
                if self._given
                else "Run the query with Ctrl+Enter, or begin with an example. Times are UTC."
            )
            with ui.column().classes("w-full gap-1").props("role=alert data-testid=sql-error") as self._error:
                with ui.row().classes("items-start gap-2 no-wrap w-full"):
                    ui.icon("error_outline").classes("text-xl rw-critical")
                    self._said = ui.label().classes("rw-sql-pre")
                self._spot = ui.label().classes("rw-mono rw-sql-pre rw-dim").style("padding-left: 28px")
            self._error.visible = False
            self._cut = ui.label().classes("text-sm rw-warning").props("data-testid=sql-cut")
            self._cut.visible = False
            self._result = ResultView(head)
        self._clock = ui.timer(_TICK_S, self._tick, active=False)

    async def _run(self) -> None:
        if self._query is not None:
            return
        sql = self._editor.value
        self._clear()
        try:
            self._query = self._desk.query(sql)
        except StoreError as error:
            self._refuse(error, sql)
            return
        self._began_s = time.monotonic()
        self._go.visible, self._end.visible, self._busy.visible, self._clock.active = False, True, True, True
        self._tick()
        self._remember(sql)
        try:
            self._tell(await self._desk.run(self._query))
        except SqlStopped:
            self._status.text = f"Stopped after {time.monotonic() - self._began_s:.1f} s."
        except StoreError as error:
            self._refuse(error, sql)
        finally:
            self._query = None
            self._go.visible, self._end.visible, self._busy.visible, self._clock.active = True, False, False, False

    def _stop(self) -> None:
        if self._query is not None:
            self._query.stop()

    def _tick(self) -> None:
        if self._query is not None:
            self._status.text = f"Under way: {time.monotonic() - self._began_s:.1f} s"

    def _clear(self) -> None:
        self._result.clear()
        self._error.visible = self._cut.visible = False
        self._status.text = ""

    def _tell(self, result: Result) -> None:
        rows = f"{len(result.rows):,} row{'' if len(result.rows) == 1 else 's'}"
        took = f"{result.elapsed_ms / 1000:.2f} s"
        read = "" if result.read_rows is None else f" · {COUNT.said(result.read_rows)} rows read"
        self._status.text = f"{rows} · {took}{read}"
        self._cut.text = result.why_cut or ""
        self._cut.visible = result.cut
        self._result.show(result)

    def _refuse(self, error: StoreError, sql: str) -> None:
        self._status.text = ""
        self._said.text = shown_lines(str(error))
        self._spot.text = spot(sql, error.line, error.column) if isinstance(error, SqlError) else ""
        self._spot.visible = bool(self._spot.text)
        self._error.visible = True

    # Out of here

    def _remember(self, sql: str) -> None:
        ui.run_javascript(f"history.replaceState(null, '', {json.dumps(address(sql))})")

    def _copy_link(self) -> None:
        link = address(self._editor.value)
        if link == "/sql":
            ui.notify("There is nothing to link to, or it is too long for a link.")
            return
        ui.run_javascript(
            f"history.replaceState(null, '', {json.dumps(link)}); navigator.clipboard?.writeText(location.href)"
        )
        ui.notify("The link is in the clipboard and in the address bar.")

    async def _download(self) -> None:
        sql = self._editor.value
        self._clear()
        try:
            export = self._desk.export(sql)
            # What goes wrong at its beginning is told here; of a file that is none, a browser tells little.
            first = await self._desk.threaded(export.piece, export.close)
        except StoreError as error:
            self._refuse(error, sql)
            return
        ticket = self._desk.tickets.make(Started(export, first))
        ui.download(f"/api/sql/exports/{ticket}.csv")
        self._status.text = f"The download has begun: up to {EXPORT_ROWS:,} rows."

    # What to begin with

    def _take(self, sql: str) -> None:
        self._editor.value = sql
        self._clear()
        self._status.text = "Run it with Ctrl+Enter."

    def _draw_examples(self) -> None:
        with ui.column().classes("rw-card w-full gap-1"):
            ui.label("Begin with").classes("text-sm font-medium")
            for number, example in enumerate(EXAMPLES):
                with (
                    ui.element("button").classes("rw-sql-item").props(f"type=button data-testid=sql-example-{number}")
                    .on("click", lambda sql=example.sql: self._take(sql))
                ):  # fmt: skip
                    ui.label(example.title).classes("text-sm")
                    ui.label(example.sentence).classes("text-xs rw-dim")
            self._own = ui.column().classes("w-full gap-1 q-mt-sm")

    def _draw_kept(self) -> None:
        self._own.clear()
        if not self._kept:
            return
        with self._own:
            ui.label("Kept in this browser").classes("text-sm font-medium")
            for name, sql in self._kept.items():
                with ui.row().classes("w-full no-wrap items-center gap-0"):
                    with (
                        ui.element("button").classes("rw-sql-item").props("type=button data-testid=sql-kept")
                        .on("click", lambda sql=sql: self._take(sql))
                    ):  # fmt: skip
                        ui.label(shown(name, 60)).classes("text-sm")
                    ui.button(icon="close", on_click=lambda name=name: self._forget(name), color=None).classes(
                        "rw-dim"
                    ).props('flat dense round size=sm aria-label="Forget this query"')

    def _ask_name(self) -> None:
        with ui.dialog() as dialog, ui.column().classes("rw-card gap-3").style("min-width: 280px"):
            ui.label("Keep this query").classes("rw-title")
            name = (
                ui.input("Name").props("outlined dense autofocus maxlength=60 data-testid=sql-name").classes("w-full")
            )

            def keep() -> None:
                if name.value and name.value.strip():
                    self._keep(name.value.strip(), self._editor.value)
                    dialog.close()

            name.on("keydown.enter", keep)
            with ui.row().classes("w-full justify-end gap-2"):
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
                ui.button("Keep", on_click=keep).props("unelevated no-caps data-testid=sql-keep")
        dialog.open()

    def _keep(self, name: str, sql: str) -> None:
        self._kept = {name: sql, **{old: kept for old, kept in self._kept.items() if old != name}}
        self._kept = dict(list(self._kept.items())[:_MOST_KEPT])
        self._write_kept()

    def _forget(self, name: str) -> None:
        self._kept.pop(name, None)
        self._write_kept()

    def _write_kept(self) -> None:
        text = json.dumps(json.dumps(self._kept))
        ui.run_javascript(f"localStorage.setItem('{_KEPT}', {text})")
        self._draw_kept()

    # What there is

    def _draw_views(self) -> None:
        with ui.column().classes("rw-card w-full gap-1"):
            ui.label("Views").classes("text-sm font-medium")
            ui.label("Each shows every event, run and anomaly once.").classes("text-xs rw-dim")
            self._views = ui.column().classes("rw-sql-views gap-0")
        ui.timer(0.01, self._fill_views, once=True)

    async def _fill_views(self) -> None:
        answer = await self._context.live.ask("sql-views", _VIEWS_S, views)
        self._views.clear()
        with self._views:
            for view in answer.value or ():
                _draw_view(view)
            if not answer.value:
                ui.label(shown(answer.error or "There are none yet; the sink makes them.", 300)).classes(
                    "text-xs rw-dim"
                )


def _draw_view(view: View) -> None:
    """A view that opens to its columns; they are sent once it is opened."""
    with ui.expansion(view.name).props("dense dense-toggle").classes("w-full text-sm") as opened:
        inside = ui.grid(columns="auto 1fr").classes("w-full gap-x-3 gap-y-1")

    def fill() -> None:
        if not opened.value or inside.default_slot.children:
            return
        with inside:
            for column in view.columns:
                ui.label(shown(column.name, 60)).classes("text-xs rw-mono")
                ui.label(shown(column.type, 40)).classes("text-xs rw-dim").style("text-align: right")

    opened.on_value_change(fill)


def address(sql: str) -> str:
    """The page's address with that query; without it where it is too long for one."""
    said = quote(sql.strip(), safe="")
    return f"/sql?q={said}" if said and len(said) <= _LONGEST_LINK else "/sql"


def spot(sql: str, line: int | None, column: int | None) -> str:
    """The line of the query that an error names, with a mark below the place."""
    lines = sql.split("\n")
    if line is None or column is None or not 1 <= line <= len(lines):
        return ""
    at = max(column - 1, 0)
    begin = max(0, at - 60)
    part = lines[line - 1][begin : begin + 100].replace("\t", " ")
    return f"{line:>3} │ {part}\n    │ {' ' * (at - begin)}▲"


def shown_lines(text: str) -> str:
    """`text` with its lines, and what cannot be seen made visible."""
    return "\n".join(shown(line, 1_000) for line in text.split("\n")[:20])


def _read_kept(text: object) -> dict[str, str]:
    """Queries that a browser kept; none where what it has is not of our making."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    kept = {str(name)[:60]: sql for name, sql in found.items() if isinstance(sql, str)}
    return dict(list(kept.items())[:_MOST_KEPT])
