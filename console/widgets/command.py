"""A command to agents in two steps: what it does, why and for how long; then how many runs it touches, and yes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from nicegui import ui

from ...control.read import MOST_TEXT
from ...control.scopes import Scope, ScopeError, parse
from ...schemas.controls import Mode
from ...schemas.errors import RunwatchError
from ..access.roles import Role
from ..ask.control import effect, runs_touched
from .frame import Page
from .plain import shown

if TYPE_CHECKING:
    from ..context import Context

LASTING: Final[dict[int, str]] = {
    15 * 60_000: "15 minutes",
    3_600_000: "1 hour",
    24 * 3_600_000: "24 hours",
    0: "until allowed",
}
"""How long a command may hold, in milliseconds; 0 is without end."""
HOUR_MS: Final = 3_600_000
COUNT_S: Final = 2.0
NAME: Final = 80
"""Characters of a scope's name that the dialog shows."""

_MODES: Final = {"disable_writes": "Disable writes", "stop": "Stop"}
VIEWERS: Final = "Viewers look; it takes an operator's token to act."


def command_button(
    context: Context,
    page: Page,
    scope: str,
    label: str,
    mode: Mode,
    *,
    icon: str | None = None,
    lasting_ms: int | None = None,
    done: Callable[[], None] | None = None,
) -> ui.button:
    """A button that opens the dialog for a command. Viewers see it, disabled, with the reason.

    `scope` as in `control.scopes`; `mode`: what is offered first. `lasting_ms`: one of `LASTING`, that is offered
    first; `done` is called after the broker has the command.
    """
    button = ui.button(label, icon=icon).props("no-caps dense outline data-testid=kill-button").classes("q-px-sm")
    if mode == "stop":
        button.props("color=negative")
    if not page.operates:
        # The tooltip hangs on a wrapper in Quasar's own way: a disabled button hears no mouse.
        button.props("disable").style("pointer-events: auto")
        with button:
            ui.tooltip(VIEWERS)
        return button
    button.on("click.stop", lambda: open_command(context, page, scope, mode, lasting_ms=lasting_ms, done=done))
    return button


def open_command(
    context: Context,
    page: Page,
    scope: str,
    mode: Mode,
    *,
    lasting_ms: int | None = None,
    done: Callable[[], None] | None = None,
) -> None:
    """Opens the dialog; from event handlers that have no button of their own."""
    try:
        its = parse(scope)
    except ScopeError as error:
        ui.notify(shown(error), type="negative")
        return
    _Command(context, page, scope, its, mode, lasting_ms, done).open()


class _Command:
    """One opened dialog. It is deleted when it is closed."""

    def __init__(
        self,
        context: Context,
        page: Page,
        scope: str,
        its: Scope,
        mode: Mode,
        lasting_ms: int | None,
        done: Callable[[], None] | None,
    ) -> None:
        self._context = context
        self._page = page
        self._scope = scope
        self._its = its
        self._mode: Mode = mode
        self._done = done
        self._name = shown(its.name, NAME)
        self._runs: int | None = None
        self._default_ms = lasting_ms if lasting_ms is not None else 0 if mode == "allow" else HOUR_MS

    def open(self) -> None:
        """Builds it, and shows it."""
        # Beside the page, not within the row that was clicked: rows come and go while someone reads.
        with ui.context.client.layout, ui.dialog() as self._dialog:
            self._dialog.on("hide", self._dialog.delete)
            with ui.card().classes("rw-card q-pa-md gap-3").style("width: 460px; max-width: 94vw"):
                ui.label(self._title()).classes("rw-title").style("overflow-wrap: anywhere")
                with ui.column().classes("w-full gap-3") as self._first:
                    self._build_first()
                with ui.column().classes("w-full gap-3") as self._second:
                    self._build_second()
                with ui.column().classes("w-full gap-3") as self._third:
                    self._build_third()
        self._show(self._first)
        self._say()
        self._dialog.open()
        if self._its.binds_agents:
            with self._dialog:
                ui.timer(COUNT_S, self._count)

    # -- the three steps ---------------------------------------------------------------------------

    def _build_first(self) -> None:
        if self._its.binds_agents and self._mode != "allow":
            ui.toggle(_MODES, value=self._mode, on_change=self._choose).props(
                'no-caps unelevated toggle-color=primary padding="4px 12px" data-testid=kill-mode'
            )
        self._sentence = ui.label().classes("text-sm").style("overflow-wrap: anywhere")
        self._touched = ui.label(self._count_told()).classes("text-sm").props("data-testid=kill-touched")
        self._touched.visible = self._its.binds_agents
        self._why = (
            ui.input("Why (kept in the audit; agents are told)")
            .props(f"outlined dense autofocus maxlength={MOST_TEXT} data-testid=kill-why")
            .classes("w-full")
            .on("keydown.enter", self._ahead)
        )
        self._lasting = (
            ui.select(self._terms(), value=self._default_ms, label="For how long", on_change=self._say)
            .props("outlined dense options-dense data-testid=kill-expiry")
            .classes("w-full")
        )
        self._wrong = ui.label().classes("rw-critical text-sm").props("role=alert data-testid=kill-wrong")
        trouble = self._context.commander.trouble()
        self._wrong.text = trouble or ""
        self._wrong.visible = trouble is not None
        with ui.row().classes("w-full justify-end gap-2"):
            ui.button("Cancel", on_click=self._dialog.close).props("flat no-caps")
            if self._careful:
                ui.button("Continue", on_click=self._ahead).props("no-caps unelevated data-testid=kill-next")
            else:
                self._confirm_button()

    def _build_second(self) -> None:
        self._summary = ui.label().classes("text-sm").style("overflow-wrap: anywhere")
        self._summary_why = ui.label().classes("text-sm rw-dim").style("overflow-wrap: anywhere")
        self._wrong_second = ui.label().classes("rw-critical text-sm").props("role=alert")
        self._wrong_second.visible = False
        with ui.row().classes("w-full justify-end gap-2"):
            ui.button("Back", on_click=lambda: self._show(self._first)).props("flat no-caps")
            if self._careful:
                self._confirm_button()

    def _build_third(self) -> None:
        with ui.row().classes("items-center no-wrap gap-2"):
            ui.icon("check_circle").classes("rw-good text-xl")
            self._answer = ui.label().classes("text-sm").props("role=status data-testid=kill-answer")
            self._answer.style("overflow-wrap: anywhere")
        with ui.row().classes("w-full justify-end gap-2"):
            self._close = ui.button("Close", on_click=self._dialog.close).props("no-caps unelevated")

    def _confirm_button(self) -> None:
        color = "negative" if self._careful else "primary"
        self._confirm = ui.button(self._verb(), on_click=self._send).props(
            f"no-caps unelevated color={color} data-testid=kill-confirm"
        )

    # -- what is said ------------------------------------------------------------------------------

    @property
    def _careful(self) -> bool:
        """Whether it forbids agents something, and so takes two steps."""
        return self._its.binds_agents and self._mode != "allow"

    def _title(self) -> str:
        what = {
            "fleet": "The whole fleet",
            "agent": f"Agent {self._name}",
            "version": f"Version {self._name}",
            "tool": f"Tool {self._name}",
            "run": f"Run {self._name}",
            "approval": "A write that waits",
            "alerts": f"Alerts {self._name}",
            "dry": self._name,
        }
        return what[self._its.kind]

    def _verb(self) -> str:
        if self._its.kind == "approval":
            return "Approve" if self._mode == "allow" else "Deny"
        if self._its.kind == "alerts":
            return "Hear again" if self._mode == "allow" else "Silence"
        return {"allow": "Allow", "disable_writes": "Disable writes", "stop": "Stop"}[self._mode]

    def _terms(self) -> dict[int, str]:
        if self._mode == "allow" and self._its.binds_agents:
            return {**LASTING, 0: "until something else is said"}
        return LASTING

    def _count_told(self) -> str:
        match self._runs:
            case None:
                return "Counting the runs that it touches…"
            case 0:
                return "It touches no run now; runs that begin later obey it too."
            case 1:
                return "It touches 1 run now."
        return f"It touches {self._runs:,} runs now."

    def _say(self) -> None:
        self._sentence.text = effect(self._its, self._mode, self._name)
        if self._careful:
            runs = "" if not self._runs else f" {self._runs:,} run{'s' if self._runs > 1 else ''}"
            self._confirm.text = {"stop": f"Stop{runs}", "disable_writes": "Disable writes"}[self._mode]
            if runs and self._mode == "disable_writes":
                self._confirm.text = f"Disable writes of{runs}"
        length = LASTING.get(self._lasting.value, "")
        until = f"It holds {'' if self._lasting.value == 0 else 'for '}{length}."
        self._summary.text = f"{self._sentence.text} {self._touched.text} {until}"
        self._summary_why.text = f"Why: {shown((self._why.value or '').strip(), 500)}"

    def _show(self, step: ui.column) -> None:
        for one in (self._first, self._second, self._third):
            one.visible = one is step

    def _focus(self, button: ui.button) -> None:
        # After the step is there: what is hidden takes no focus.
        button.client.run_javascript(f"setTimeout(() => getHtmlElement({button.id})?.focus(), 60)")

    # -- what is done ------------------------------------------------------------------------------

    async def _count(self) -> None:
        now_ms = int(time.time() * 1000)
        question = partial(runs_touched, scope=self._scope, now_ms=now_ms)
        found = await self._context.live.ask(("runs-touched", self._scope), COUNT_S, question)
        if self._dialog.is_deleted:
            return
        if found.error is not None:
            self._runs = None
            self._touched.text = (
                "ClickHouse does not answer: how many runs it touches is not known. It works all the same."
            )
        else:
            self._runs = found.value
            self._touched.text = self._count_told()
        self._say()

    def _choose(self, event: object) -> None:
        self._mode = "stop" if getattr(event, "value", "stop") == "stop" else "disable_writes"
        self._say()

    async def _ahead(self) -> None:
        """Enter in the reason, or Continue."""
        if not (self._why.value or "").strip():
            self._tell("Say why: it is kept in the audit, and told to whoever is stopped.")
            return
        self._wrong.visible = False
        if not self._careful:
            await self._send()
            return
        self._say()
        self._wrong_second.visible = False
        self._show(self._second)
        self._focus(self._confirm)

    async def _send(self) -> None:
        why = (self._why.value or "").strip()
        if not why:
            self._tell("Say why: it is kept in the audit.")
            return
        # Now, not when the page was drawn: a token may have been taken back meanwhile.
        session = self._context.access.session(self._page.request)
        if session is None or not self._context.access.may(self._page.request, Role.operator):
            self._tell(f"You may not do this. {VIEWERS}")
            return
        expires_ms = int(time.time() * 1000) + self._lasting.value if self._lasting.value else None
        self._confirm.props("loading")
        try:
            given = await self._context.commander.give(self._scope, self._mode, why, session.name, expires_ms)
        except RunwatchError as error:
            self._tell(f"{shown(error, 400)} Nobody is bound by it.")
            return
        finally:
            if not self._dialog.is_deleted:
                self._confirm.props(remove="loading")
        until = "until something else is said" if expires_ms is None else f"until {self._page.clock(expires_ms)}"
        obey = " Agents obey before their next call." if self._its.binds_agents else ""
        if not self._dialog.is_deleted:
            self._answer.text = f"Sent at {self._page.clock(given.ts_ms)}. It holds {until}.{obey}"
            self._show(self._third)
            self._focus(self._close)
        if self._done is not None:
            self._done()

    def _tell(self, wrong: str) -> None:
        for label in (self._wrong, self._wrong_second):
            label.text = wrong
            label.visible = True
