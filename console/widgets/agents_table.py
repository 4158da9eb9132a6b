"""Agents as a table, those in most trouble first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from nicegui import ui

from ..ask.fleet import AgentRow
from .filters import address
from .plain import shown
from .units import COUNT, MS, SHARE, USD, Unit

A_PAGE: Final = 25


def agents_table(chosen: Callable[[str], None]) -> ui.table:
    """The table, empty; `chosen` is told which agent was clicked."""

    def column(name: str, label: str, unit: Unit | None = None, hide: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": name, "label": label, "field": name, "sortable": True,
            "align": "left" if unit is None else "right", "classes": hide, "headerClasses": hide,
        }  # fmt: skip
        return found if unit is None else found | {":format": unit.js}

    columns = [
        column("agent", "Agent"),
        column("incidents", "Incidents", COUNT),
        column("runs", "Runs", COUNT),
        column("tool_calls_mean", "Calls a run", COUNT),
        column("tool_calls_p95", "p95", COUNT, "gt-sm"),
        column("latency_p95_ms", "Latency p95", MS, "gt-xs"),
        column("spend", "Spend", USD, "gt-xs"),
        column("tokens", "Tokens", COUNT, "gt-sm"),
        column("retries", "Retries", SHARE, "gt-xs"),
        column("success", "Success", SHARE, "gt-xs"),
        column("versions", "Versions", None, "gt-md"),
        column("distance", "× usual", COUNT, "gt-sm"),
    ]
    with ui.column().classes("rw-card rw-agents w-full gap-2"):
        with ui.row().classes("items-baseline gap-3"):
            ui.label("Agents").classes("rw-title")
            ui.label("those in most trouble first; choose one to see it alone").classes("text-xs rw-dim")
        table = ui.table(columns=columns, rows=[], row_key="key", pagination={"rowsPerPage": A_PAGE})
        table.classes("w-full").props(
            'flat dense data-testid=agents no-data-label="No agent did anything in this time"'
        )
    table.add_slot(
        "body-cell-agent",
        """<q-td :props="props"><a :href="props.row.href" class="rw-cell block" :title="props.row.agent"
             @click.prevent="() => $parent.$emit('agent', props.row.key)">{{ props.row.agent }}</a></q-td>""",
    )
    table.add_slot(
        "body-cell-incidents",
        """<q-td :props="props" :class="props.row.mark">{{ props.value == '0' ? '–' : props.value }}</q-td>""",
    )
    table.on("agent", lambda event: chosen(event.args))
    table.on("rowClick", lambda event: chosen(event.args[1]["key"]))
    return table


def fill(table: ui.table, rows: Sequence[AgentRow]) -> None:
    """Shows these agents, if they are others."""
    found = [
        {
            "key": row.agent,
            "agent": shown(row.agent, 60),
            "href": address("/", {"agent": row.agent}),
            "incidents": row.incidents,
            "mark": {"critical": "rw-critical", "warning": "rw-warning"}.get(row.severity or "", ""),
            "runs": row.runs,
            "tool_calls_mean": row.tool_calls_mean,
            "tool_calls_p95": row.tool_calls_p95,
            "latency_p95_ms": row.latency_p95_ms,
            "spend": row.spend,
            "tokens": row.tokens,
            "retries": row.retries,
            "success": row.success,
            "versions": shown(", ".join(row.versions), 60),
            "distance": row.distance,
        }
        for row in rows
    ]
    if found != table.rows:
        table.rows = found
        table.props(**{"add" if len(found) <= A_PAGE else "remove": "hide-pagination"})
