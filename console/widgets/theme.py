"""How it looks: one accent, colours of severity for severity alone, dark and light."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nicegui import ui

ACCENT: Final = "#2563eb"
THEME_COOKIE: Final = "runwatch_theme"

SEVERITIES: Final = {"critical": "#dc2626", "warning": "#d97706", "resolved": "#64748b", "good": "#059669"}

CSS: Final = Path(__file__).with_name("theme.css")


def dress(theme: str | None) -> ui.dark_mode:
    """Gives the page under construction its looks. `theme`: "dark", "light", or the system's."""
    ui.add_css(CSS)
    ui.colors(
        primary=ACCENT, negative=SEVERITIES["critical"], warning=SEVERITIES["warning"], positive=SEVERITIES["good"]
    )
    return ui.dark_mode({"dark": True, "light": False}.get(theme or ""))
