"""Severities as marks: a sign and a word, never a colour alone."""

from __future__ import annotations

from typing import Final

from nicegui import ui

_SIGNS: Final = {"critical": "error", "warning": "warning", "info": "info"}
_CLASSES: Final = {"critical": "rw-critical", "warning": "rw-warning", "info": "rw-dim"}


def color(severity: str, is_open: bool = True) -> str:
    """The colour of a severity, for charts and edges; what is over has none."""
    return f"var(--rw-{severity})" if is_open and severity in ("critical", "warning") else "var(--rw-dim)"


def mark(severity: str, *, is_open: bool = True, word: bool = True) -> ui.row:
    """The mark of a severity; of what is over, it is dim."""
    classes = _CLASSES.get(severity, "rw-dim") if is_open else "rw-dim"
    with ui.row().classes(f"items-center gap-1 no-wrap {classes}") as row:
        ui.icon(_SIGNS.get(severity, "info") if is_open else "check_circle_outline").classes("text-lg").props(
            f'aria-label="{severity}"'
        )
        if word:
            ui.label(severity if is_open else f"{severity}, over").classes("text-xs font-medium")
    return row
