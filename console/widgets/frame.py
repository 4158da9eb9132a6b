"""What every page has around it: the way to the others, how many incidents are open, what is away, how it looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from nicegui import ui

from ..access.roles import Role, Session
from ..pulse import open_counts
from .plain import shown
from .theme import THEME_COOKIE, dress
from .when import ZONE_COOKIE, clock, zone_named

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..context import Context

PLACES: Final = (
    ("fleet", "Fleet", "/"),
    ("incidents", "Incidents", "/incidents"),
    ("runs", "Runs", "/runs"),
    ("control", "Control", "/control"),
    ("sql", "SQL", "/sql"),
)
LOOK_S: Final = 2.0

_ZONE_JS: Final = (
    f"<script>document.cookie = '{ZONE_COOKIE}=' + encodeURIComponent("
    "Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC') + ';path=/;max-age=31536000;SameSite=Strict'</script>"
)
_KEYS_JS: Final = f"<script>{Path(__file__).with_name('keys.js').read_text(encoding='utf-8')}</script>"
KEYS: Final = (
    ("g f", "Fleet"),
    ("g i", "Incidents"),
    ("g r", "Runs"),
    ("g c", "Control"),
    ("g s", "SQL"),
    ("/", "To the filter or search of the page"),
    ("?", "This list"),
    ("Esc", "Close what is open"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page under construction is told of its viewer."""

    request: Request
    zone: ZoneInfo
    session: Session

    @property
    def operates(self) -> bool:
        """Whether the viewer was an operator when the page was drawn; ask `Access` again before each action."""
        return self.session.role.covers(Role.operator)

    def clock(self, at_ms: int) -> str:
        """A time as the viewer's clock has it."""
        return clock(at_ms, self.zone, int(time.time() * 1000))


@contextmanager
def frame(context: Context, title: str, here: str) -> Iterator[Page]:
    """The page's main column, to be filled within. `here`: one of `PLACES`."""
    request = ui.context.client.request
    session = context.access.session(request)
    if session is None:  # the way in lets no one by without
        raise PermissionError("not signed in")
    cookies = request.cookies
    page = Page(request, zone_named(unquote(cookies.get(ZONE_COOKIE, ""))), session)
    ui.page_title(f"{title} · runwatch")
    ui.add_head_html(_ZONE_JS)
    ui.add_head_html(_KEYS_JS)
    dark = dress(cookies.get(THEME_COOKIE))
    with ui.header().classes("rw-header items-center q-py-xs q-px-md gap-x-2 gap-y-0"):
        ui.link("runwatch", "/").classes("rw-title no-underline").style("color: var(--rw-ink)")
        with ui.row().classes("rw-places items-center gap-1"):
            for name, label, path in PLACES:
                _place(name, label, path, name == here, context)
        ui.space()
        ui.label(str(page.zone)).classes("rw-dim text-xs gt-xs").tooltip("Times are in this zone, your browser's")
        _theme_button(dark)
        _keys_button()
        _who(session)
    column = ui.column().classes("rw-main")
    with column:
        _banner(context, page)
        _leave_once_over(context, request)
        yield page
    ui.skip_link("Skip to content", target=column)


def _place(name: str, label: str, path: str, current: bool, context: Context) -> None:
    with ui.link(target=path).classes("rw-nav").props(f"data-testid=nav-{name}") as link:
        ui.label(label)
        if name == "incidents":
            link.classes("row items-center gap-1 no-wrap")
            _open_count(context)
    if current:
        link.props('aria-current="page"')


def _open_count(context: Context) -> None:
    badge = ui.badge("").props("rounded")
    badge.visible = False

    async def look() -> None:
        found = await open_counts(context)
        if found is None:
            return
        badge.visible = found.open > 0
        badge.text = str(found.open)
        badge.props(f"color={'negative' if found.critical else 'warning'}")

    ui.timer(LOOK_S, look)


def _banner(context: Context, page: Page) -> None:
    """What is away and since when; it goes by itself once all is there again."""
    with ui.row().classes("rw-card w-full items-center no-wrap").props("role=status data-testid=banner") as row:
        ui.icon("cloud_off").classes("rw-warning text-xl")
        label = ui.label().classes("text-sm")
    row.visible = False

    def look() -> None:
        trouble = context.live.trouble()
        told = []
        if trouble is not None:
            told.append(f"{trouble.sentence} What you see is from before {page.clock(trouble.since_ms)}.")
        if (broker := context.commander.trouble()) is not None:
            told.append(broker)
        label.text = " ".join(told)
        row.visible = bool(told)

    ui.timer(LOOK_S, look)


def _theme_button(dark: ui.dark_mode) -> None:
    def turn() -> None:
        dark.value = not dark.value
        theme = "dark" if dark.value else "light"
        ui.run_javascript(f"document.cookie = '{THEME_COOKIE}={theme};path=/;max-age=31536000;SameSite=Strict'")

    ui.button(icon="contrast", on_click=turn, color=None).classes("rw-dim").props(
        'flat round dense aria-label="Dark or light" data-testid=theme'
    )


def _keys_button() -> None:
    with ui.dialog() as dialog, ui.column().classes("rw-card gap-2").style("min-width: 300px"):
        ui.label("Keys").classes("rw-title")
        with ui.grid(columns="auto 1fr").classes("gap-x-6 gap-y-2 items-center"):
            for keys, what in KEYS:
                with ui.row().classes("gap-1 no-wrap"):
                    for key in keys.split():
                        ui.label(key).classes("rw-key rw-mono")
                ui.label(what).classes("text-sm")
        ui.button("Close", on_click=dialog.close).props("flat no-caps").classes("self-end")
    ui.button(icon="keyboard", on_click=dialog.open, color=None).classes("rw-dim gt-xs").props(
        'flat round dense aria-label="Keys" data-testid=shortcuts'
    )


def _who(session: Session) -> None:
    """Who is signed in, what they may do, and the way out: a form, so that leaving needs no connection."""
    button = ui.button(icon="person", color=None).classes("rw-dim")
    button.props('flat rounded dense no-caps padding="4px 8px" aria-label="Who is signed in" data-testid=who')
    with button:
        ui.label(shown(session.person or session.role, 20)).classes("gt-xs q-ml-xs text-sm")
    with button, ui.menu().props("auto-close"), ui.column().classes("gap-1 q-pa-md").style("min-width: 200px"):
        ui.label(shown(session.person or "No name given")).classes("font-medium").props("data-testid=who-name")
        may = "Operator: may look and act" if session.role is Role.operator else "Viewer: may look"
        ui.label(may).classes("text-sm rw-dim").props("data-testid=who-role")
        ui.link("API", "/api/docs").classes("text-sm q-mt-sm").style("color: var(--rw-accent)")
        if session.by_cookie:
            with ui.element("form").props("method=post action=/logout").classes("q-mt-sm"):
                ui.button("Sign out", icon="logout", color=None).props(
                    "type=submit outline dense no-caps data-testid=sign-out"
                )


def _leave_once_over(context: Context, request: Request) -> None:
    """A page whose session has ended leads to the login page; until then nothing that it does is done."""

    def look() -> None:
        if context.access.session(request) is None:
            watch.cancel()
            ui.run_javascript("rwLeave()")

    watch = ui.timer(LOOK_S, look)
