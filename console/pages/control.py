"""The page /control: what agents may not do, who said so, and the means to say something else."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from ...control.scopes import FLEET, ScopeError, parse
from ...schemas.controls import Mode
from ...sinks.query import Reader
from ..ask.control import InForce, Names, WaitingWrite, in_force, names, writes_waiting
from ..context import Context
from ..widgets.audit import AuditLog
from ..widgets.command import HOUR_MS, VIEWERS, command_button, open_command
from ..widgets.frame import Page, frame
from ..widgets.in_force import InForceTable
from ..widgets.part import Part
from ..widgets.plain import shown
from ..widgets.steps import SHORT_HASH

STATE_S: Final = 0.5
WAITING_S: Final = 2.0
NAMES_S: Final = 30.0
NAME: Final = 60

KINDS: Final = {"agent": "Agent", "version": "Version", "tool": "Tool", "run": "Run", "fleet": "The whole fleet"}
_HINTS: Final = {
    "agent": "Its name",
    "version": "NAME@VERSION",
    "tool": "Its name",
    "run": "Its id",
    "fleet": "",
}


_ANSWERS: Final[tuple[tuple[str, Mode, str], ...]] = (
    ("Deny…", "stop", "deny-button"),
    ("Approve…", "allow", "approve-button"),
)


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/control")
    async def show(request: Request) -> None:
        with frame(context, "Control", "control") as page:
            _View(context, page, dict(request.query_params))


class _View:
    def __init__(self, context: Context, page: Page, query: dict[str, str]) -> None:
        self._context = context
        self._page = page
        self._names = Names([], [], [])
        self._shown: InForce | None = None
        with ui.element("div").classes("rw-two"):
            with ui.column().classes("rw-card gap-3"):
                self._build_switch()
            with ui.column().classes("rw-card gap-3"):
                self._build_command()
        with ui.column().classes("rw-card w-full gap-2"):
            ui.label("In force").classes("rw-title")
            self._nothing = ui.label().classes("text-sm rw-dim rw-wrap").props("data-testid=nothing-in-force")
            self._forbidden = InForceTable(context, page)
        with ui.column().classes("rw-card w-full gap-2"):
            ui.label("Writes that wait for a person").classes("rw-title")
            self._waiting = Part(ui.column().classes("w-full gap-2"), self._build_waiting)
        with ui.column().classes("rw-card w-full gap-2") as self._others:
            ui.label("Silences, and what the policy only would have done").classes("rw-title")
            self._rest = InForceTable(context, page, lift="Lift…", testid="others")
        self._others.visible = False
        with ui.column().classes("rw-card w-full gap-2"):
            AuditLog(context, page, query)
        ui.timer(STATE_S, self._look)
        ui.timer(WAITING_S, self._look_waiting)
        ui.timer(NAMES_S, self._look_names)

    # -- what stands -------------------------------------------------------------------------------

    def _build_switch(self) -> None:
        ui.label("Kill switch").classes("rw-title")
        self._status = ui.label().classes("text-h6 rw-wrap").props("role=status data-testid=switch-status")
        self._status_more = ui.label().classes("text-sm rw-dim rw-wrap")
        with ui.row().classes("gap-2"):
            command_button(self._context, self._page, FLEET, "Stop the fleet…", "stop", icon="block").props(
                "data-testid=kill-fleet"
            )
            command_button(
                self._context, self._page, FLEET, "Disable its writes…", "disable_writes", icon="edit_off"
            ).props("data-testid=freeze-fleet")

    def _look(self) -> None:
        now_ms = int(time.time() * 1000)
        commander = self._context.commander
        now = in_force(commander.state, now_ms)
        if now == self._shown and commander.loaded:
            return
        if not commander.loaded and commander.state.version == 0:
            self._status.text = "What stands is being read…"
            return
        self._shown = now
        self._forbidden.show([*now.forbidden, *now.allowed])
        self._nothing.visible = not now.forbidden and not now.allowed
        self._nothing.text = (
            "Nothing: agents may do all that their own guardrails allow. Stop a run, an agent, a version or a tool "
            "above, or by `runwatch kill`; the policy in the config file does so by itself."
        )
        self._rest.show([*now.silences, *now.dry])
        self._others.visible = bool(now.silences or now.dry)
        self._say(now)

    def _say(self, now: InForce) -> None:
        fleet = next((one for one in now.forbidden if one.scope == FLEET), None)
        if fleet is None:
            self._status.text = "The fleet may work." if now.forbidden else "Nothing is forbidden."
        else:
            self._status.text = (
                "The whole fleet is stopped." if fleet.mode == "stop" else "The fleet may read, and not write."
            )
        self._status.classes(
            remove="rw-critical rw-warning",
            add="" if fleet is None else "rw-critical" if fleet.mode == "stop" else "rw-warning",
        )
        counted = []
        for kind, one, many in (
            ("agent", "agent", "agents"),
            ("version", "version", "versions"),
            ("tool", "tool", "tools"),
            ("run", "run", "runs"),
        ):
            if count := sum(standing.kind == kind for standing in now.forbidden):
                counted.append(f"{count:,} {one if count == 1 else many}")
        if counted:
            self._status_more.text = f"Stopped, or kept from writing: {', '.join(counted)}."
        else:
            self._status_more.text = "Agents hear commands within milliseconds, and obey before their next call."

    # -- a new command -----------------------------------------------------------------------------

    def _build_command(self) -> None:
        ui.label("New command").classes("rw-title")
        with ui.row().classes("w-full items-start gap-2"):
            self._kind = (
                ui.select(KINDS, value="agent", on_change=self._choose_kind)
                .props("outlined dense options-dense data-testid=command-scope")
                .style("min-width: 150px")
            )
            self._name = (
                ui.input(_HINTS["agent"], autocomplete=[])
                .props("outlined dense clearable data-testid=command-name")
                .classes("col")
                .style("min-width: 180px")
                .on("keydown.enter", lambda: self._give("stop"))
            )
        self._wrong = ui.label().classes("rw-critical text-sm rw-wrap").props("role=alert")
        self._wrong.visible = False
        with ui.row().classes("gap-2"):
            for mode, label, color in (
                ("stop", "Stop…", "negative"),
                ("disable_writes", "Disable writes…", "primary"),
                ("allow", "Allow…", "primary"),
            ):
                button = ui.button(label, on_click=lambda _, mode=mode: self._give(mode)).props(
                    f"no-caps dense outline color={color} data-testid=command-{mode.replace('_', '-')}"
                )
                button.classes("q-px-sm")
                if not self._page.operates:
                    button.props("disable").style("pointer-events: auto").tooltip(VIEWERS)

    def _choose_kind(self) -> None:
        kind = self._kind.value
        self._name.visible = kind != "fleet"
        self._name.props(f'label="{_HINTS[kind]}"')
        self._complete()

    def _complete(self) -> None:
        known = {"agent": self._names.agents, "version": self._names.versions, "tool": self._names.tools}
        self._name.set_autocomplete([one for one in known.get(self._kind.value, []) if one.isprintable()])

    def _give(self, mode: Mode) -> None:
        if not self._page.operates:
            return
        scope = FLEET if self._kind.value == "fleet" else f"{self._kind.value}:{(self._name.value or '').strip()}"
        try:
            parse(scope)
        except ScopeError as error:
            self._wrong.text = shown(error, 300)
            self._wrong.visible = True
            return
        self._wrong.visible = False
        open_command(self._context, self._page, scope, mode)

    async def _look_names(self) -> None:
        found = await self._context.live.ask("command-names", NAMES_S, names)
        if found.value is not None and not self._name.is_deleted:
            self._names = found.value
            self._complete()

    # -- writes that wait --------------------------------------------------------------------------

    async def _look_waiting(self) -> None:
        found = await self._context.live.ask("unapproved", WAITING_S, Reader.unapproved)
        if found.value is None or self._name.is_deleted:
            return
        self._waiting.show(writes_waiting(found.value, self._context.commander.state, int(time.time() * 1000)))

    def _build_waiting(self, found: list[WaitingWrite]) -> None:
        if not found:
            ui.label(
                "None. A write that needs an approval is refused until someone gives it, here or by `runwatch approve`."
            ).classes("text-sm rw-dim rw-wrap").props("data-testid=nothing-waits")
        for one in found[:50]:
            with ui.row().classes("w-full items-center gap-x-3 gap-y-1").props("data-testid=waiting-row"):
                ui.label(shown(one.tool, NAME)).classes("rw-mono rw-wrap")
                ui.label(f"by {shown(one.agent, NAME)}, since {self._page.clock(one.since_ms)}").classes(
                    "text-sm rw-wrap"
                )
                if one.args_sha:
                    ui.label(f"arguments #{one.args_sha[:SHORT_HASH]}").classes("text-sm rw-dim")
                ui.link("its run", f"/runs/{quote(one.run_id, safe='')}").classes("rw-quiet-link text-sm")
                ui.space()
                with ui.row().classes("no-wrap gap-2"):
                    for label, mode, testid in _ANSWERS:
                        command_button(self._context, self._page, one.scope, label, mode, lasting_ms=HOUR_MS).props(
                            f"data-testid={testid}"
                        )
        if len(found) > 50:
            ui.label(f"… and {len(found) - 50:,} more; `runwatch approve` lists them all.").classes("text-sm rw-dim")
