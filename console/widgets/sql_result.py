"""A query's result on a page: as a table, a page of it at a time, or as a chart."""

from __future__ import annotations

import json
from typing import Any, Final

from nicegui import ui

from ..ask.sql import Result
from .plain import shown
from .sql_chart import POINTS, Choice, Kind, first_choice, is_number, options

A_PAGE: Final = 100
CELL: Final = 400
MOST_COLUMNS: Final = 200

_HEAD: Final = """
<q-th :props="props"><div>{{ props.col.label }}</div><div class="rw-sql-type rw-mono">{{ props.col.kind }}</div></q-th>
"""
_CELL: Final = """
<q-td :props="props">
  <div class="rw-sql-cell" :class="{'rw-dim': props.value === null}" :title="props.value">
    {{ props.value === null ? 'null' : props.value }}</div>
</q-td>
"""


class ResultView:
    """Where results are shown, one after the other."""

    def __init__(self, head: ui.row) -> None:
        """Where the page is being built; how it is shown is chosen in `head`."""
        self._result: Result | None = None
        self._first = 0
        self._choice: Choice | None = None
        with head, ui.row().classes("items-center gap-2 no-wrap") as self._controls:
            with ui.row().classes("items-center gap-1 no-wrap") as self._pages:
                self._before = ui.button(icon="chevron_left", on_click=lambda: self._turn(-1)).props(
                    'flat dense round aria-label="Earlier rows"'
                )
                self._where = ui.label().classes("text-sm rw-dim").props("data-testid=sql-where")
                self._after = ui.button(icon="chevron_right", on_click=lambda: self._turn(1)).props(
                    'flat dense round aria-label="Later rows"'
                )
            self._mode = ui.toggle({"table": "Table", "chart": "Chart"}, value="table", on_change=self._draw).props(
                "dense no-caps unelevated toggle-color=primary padding='2px 12px' data-testid=sql-mode"
            )
        self._body = ui.column().classes("w-full gap-2")
        self._controls.visible = False

    def show(self, result: Result) -> None:
        """Shows `result`, from its beginning."""
        self._result = result
        self._first = 0
        self._choice = first_choice(result.columns)
        self._controls.visible = True
        self._draw()

    def clear(self) -> None:
        """Shows nothing."""
        self._result = None
        self._body.clear()
        self._controls.visible = False

    def _turn(self, by: int) -> None:
        self._first = max(0, self._first + by * A_PAGE)
        self._draw()

    def _draw(self) -> None:
        result = self._result
        self._body.clear()
        if result is None:
            return
        is_table = self._mode.value == "table"
        self._pages.visible = is_table and len(result.rows) > A_PAGE
        with self._body:
            if not result.rows:
                ui.label("The query found nothing.").classes("rw-dim q-pa-sm").props("data-testid=sql-nothing")
            elif is_table:
                self._draw_table(result)
            else:
                self._draw_chart(result)

    def _draw_table(self, result: Result) -> None:
        columns = result.columns[:MOST_COLUMNS]
        last = min(self._first + A_PAGE, len(result.rows))
        self._where.text = f"{self._first + 1:,}–{last:,} of {len(result.rows):,}"
        self._before.enabled = self._first > 0
        self._after.enabled = last < len(result.rows)
        table = (
            ui.table(
                columns=[
                    {
                        "name": f"c{at}",
                        "label": shown(column.name, 60),
                        "kind": shown(column.type, 40),
                        "field": f"c{at}",
                        "align": "right" if is_number(column) else "left",
                    }
                    for at, column in enumerate(columns)
                ],
                rows=[
                    {"id": number, **{f"c{at}": cell(value) for at, value in enumerate(row[:MOST_COLUMNS])}}
                    for number, row in enumerate(result.rows[self._first : last])
                ],
                pagination=0,
            )
            .props("flat dense hide-bottom data-testid=sql-table")
            .classes("rw-sql-table w-full")
        )
        table.add_slot("header-cell", _HEAD)
        table.add_slot("body-cell", _CELL)
        if len(result.columns) > MOST_COLUMNS:
            ui.label(f"The first {MOST_COLUMNS} of {len(result.columns):,} columns.").classes("text-sm rw-dim")

    def _draw_chart(self, result: Result) -> None:
        if self._choice is None:
            ui.label("A chart needs a column of numbers, and one to draw them by.").classes("rw-dim q-pa-sm")
            return
        names = {at: shown(column.name, 40) for at, column in enumerate(result.columns)}
        numbers = {at: names[at] for at, column in enumerate(result.columns) if is_number(column)}
        choice = self._choice
        with ui.row().classes("w-full items-center gap-3"):
            ui.select(
                names, value=choice.x, label="Along", on_change=lambda e: self._choose(choice.with_x(e.value))
            ).props("outlined dense options-dense data-testid=sql-x").style("min-width: 130px")
            ui.select(
                numbers,
                value=list(choice.ys),
                label="Values",
                multiple=True,
                on_change=lambda e: self._choose(Choice(choice.x, tuple(e.value), choice.kind)),
            ).props("outlined dense options-dense use-chips data-testid=sql-y").style("min-width: 160px")
            ui.toggle(
                {"line": "Line", "bar": "Bars"},
                value=choice.kind,
                on_change=lambda e: self._choose(Choice(choice.x, choice.ys, _kind(e.value))),
            ).props("dense no-caps unelevated toggle-color=primary padding='2px 10px'")
        ui.echart(options(result.columns, result.rows, choice), renderer="svg").classes("w-full").style(
            "height: clamp(240px, 42vh, 560px)"
        ).props('role=img aria-label="The result as a chart" data-testid=sql-chart')
        if len(result.rows) > POINTS:
            ui.label(f"The first {POINTS:,} of {len(result.rows):,} rows.").classes("text-sm rw-dim")

    def _choose(self, choice: Choice) -> None:
        if choice != self._choice:
            self._choice = choice
            self._draw()


def cell(value: Any) -> str | None:
    """A value as the table shows it: text as it is, but with what cannot be seen made visible, and cut."""
    if value is None or isinstance(value, str):
        return value if value is None else shown(value, CELL)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return shown(json.dumps(value, ensure_ascii=False), CELL)


def _kind(value: str) -> Kind:
    return "bar" if value == "bar" else "line"
