"""A run's steps on the page: when each was and how long it took, what was repeated, and one after the other by key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from nicegui import ui
from nicegui.events import GenericEventArguments, KeyEventArguments

from ..ask.steps import CALLS, Found, Step
from .plain import shown
from .units import MS

SHORT_HASH: Final = 8
NAME: Final = 60
PLAY_S: Final = 0.6
"""Between two steps while it plays."""

STYLE: Final = Path(__file__).with_name("steps.css")

_RANK: Final = {"critical": 2, "warning": 1, "info": 0}

_COLUMNS: Final = [
    {"name": name, "label": label, "field": field, "align": align, "classes": hide, "headerClasses": hide}
    for name, label, field, align, hide in (
        ("edge", "", "c", "left", ""),
        ("seq", "#", "id", "right", ""),
        ("what", "Step", "w", "left", ""),
        ("when", "When", "l", "left", ""),
        ("took", "Took", "d", "right", ""),
        ("args", "Arguments", "a", "left", "gt-sm"),
        ("result", "Result", "r", "left", "gt-sm"),
        ("status", "Came to", "s", "left", "gt-xs"),
        ("notes", "", "n", "left", ""),
    )
]

# Text goes through {{ }} and attributes, never through HTML; numbers alone are made into style.
_BODY: Final = """
<q-tr :props="props" :data-seq="props.row.id" data-testid="step"
      :class="[props.row.c ? 'rw-sev-' + props.row.c : '', props.row.o ? 'rw-ours' : '']"
      @click="$parent.$emit('pick', props.row.id)">
  <q-td class="rw-edge"></q-td>
  <q-td class="text-right rw-dim">{{ props.row.id }}</q-td>
  <q-td><div class="rw-cut rw-mono" :title="props.row.w"><span v-if="props.row.g" class="rw-again"
    title="The same call as before">↻</span>{{ props.row.w }}</div></q-td>
  <q-td style="width: 40%"><div class="rw-lane"><div class="rw-bar" :class="props.row.k ? 'rw-bar-' + props.row.k : ''"
    :style="{left: props.row.l + '%', width: props.row.b + '%'}"></div></div></q-td>
  <q-td class="text-right">{{ props.row.d }}</q-td>
  <q-td class="gt-sm"><span v-if="props.row.a" class="rw-mono rw-copy" title="Copy the whole hash"
    @click.stop="$parent.$emit('copy', [props.row.id, 0])">#{{ props.row.a }}</span></q-td>
  <q-td class="gt-sm"><span v-if="props.row.r" class="rw-mono rw-copy" title="Copy the whole hash"
    @click.stop="$parent.$emit('copy', [props.row.id, 1])">#{{ props.row.r }}</span></q-td>
  <q-td class="gt-xs"><div class="rw-cut" :title="props.row.s">{{ props.row.s }}</div></q-td>
  <q-td><span v-for="note in (props.row.n || '').split('\\n').filter(one => one)" class="rw-tag q-mr-xs"
    :class="note.startsWith('again') || note.startsWith('refused') ? 'rw-tag-strong' : ''">{{ note }}</span></q-td>
</q-tr>
"""


def step_rows(steps: Sequence[Step], found: Sequence[Found]) -> list[dict[str, Any]]:
    """Rows of the table; places in percent of the time from the first step's beginning to the last one's end."""
    if not steps:
        return []
    severity = {one.anomaly_id: one.severity for one in found}
    began = min(one.began_ms for one in steps)
    whole = max(1, max(one.at_ms for one in steps) - began)
    return [_row(one, began, whole, severity) for one in steps]


def brief(text: str, at_most: int) -> str:
    """A name where room is scarce: cut, without saying how long it was."""
    return shown(text[:at_most]) + ("…" if len(text) > at_most else "")


def name_of(step: Step) -> str:
    """What a step is called: its tool, its model, or what happened."""
    if step.kind == "tool_result":
        return step.tool or "a tool"
    if step.kind == "model_result":
        return step.model or "a model"
    return {"run_start": "began", "stop": "stopped"}.get(step.kind, step.kind)


def notes_of(step: Step) -> list[str]:
    """What is to be noticed, in few words each."""
    notes = []
    if step.lost_before:
        notes.append(f"{step.lost_before:,} before it never arrived")
    if step.refused:
        notes.append("answered from memory" if step.error == "AlreadyDone" else f"refused: {step.stop_reason}")
    if step.again is not None:
        notes.append(f"again, as {step.again}")
        if step.same_result:
            notes.append("same result")
    if step.attempt is not None and step.attempt > 1:
        notes.append(f"attempt {step.attempt}")
    if step.kind == "stop":
        notes.append(brief(step.stop_reason or "unknown", 40))
    return notes


def status_of(step: Step) -> str:
    """What it came to."""
    if step.kind not in CALLS:
        return ""
    parts = [step.status or "", step.error or "", "" if step.http_status is None else str(step.http_status)]
    return shown(" ".join(part for part in parts if part and (part != "error" or not step.error)), NAME)


def _row(step: Step, began: int, whole: int, severity: dict[str, str]) -> dict[str, Any]:
    call = step.kind in CALLS
    worst = max((severity.get(one, "info") for one in step.anomalies), key=lambda one: _RANK.get(one, 0), default="")
    kind = (
        "point" if not call else "failed" if step.status == "error" else "model" if step.kind != "tool_result" else ""
    )
    row = {
        "id": step.seq,
        "w": shown(name_of(step), NAME),
        "k": kind,
        "l": round(100 * (step.began_ms - began) / whole, 2),
        "b": round(100 * (step.at_ms - step.began_ms) / whole, 2),
        "d": MS.said(step.duration_ms) if call and step.duration_ms is not None else "",
        "a": (step.args_sha or "")[:SHORT_HASH],
        "r": (step.result_sha or "")[:SHORT_HASH],
        "s": status_of(step),
        "n": "\n".join(notes_of(step)),
        "c": worst,
        "o": step.kind == "model_result",
        "g": step.again is not None,
    }
    # Of ten thousand rows what is empty is left out; a zero is not empty.
    return {name: value for name, value in row.items() if value != "" and value is not False}


class Steps:
    """The table, and the step that is looked at. Use within a page."""

    def __init__(self, clock: Callable[[int], str]) -> None:
        """`clock` tells a time as the viewer's clock has it."""
        self._clock = clock
        self._steps: Sequence[Step] = ()
        self._found: Sequence[Found] = ()
        self._place: dict[int, int] = {}
        self._at: int | None = None
        self._build()

    def show(self, steps: Sequence[Step], found: Sequence[Found]) -> None:
        """Puts these steps there, if they are others than before."""
        if steps == self._steps and found == self._found:
            return
        self._steps, self._found = steps, found
        self._place = {one.seq: at for at, one in enumerate(steps)}
        self._table.rows = step_rows(steps, found)
        self._table.update()
        self._tell()

    def go(self, seq: int) -> None:
        """Looks at the step with that number."""
        at = self._place.get(seq)
        if at is not None:
            self._look(at)

    # -- parts -------------------------------------------------------------------------------------

    def _build(self) -> None:
        ui.add_css(STYLE)
        with ui.row().classes("w-full items-center gap-1"):
            ui.label("Timeline").classes("rw-title q-mr-md")
            for icon, said, key, act in (
                ("first_page", "First step", "Home", lambda: self._look(0)),
                ("chevron_left", "Step before", "←", lambda: self._by(-1)),
                ("chevron_right", "Next step", "→", lambda: self._by(1)),
                ("last_page", "Last step", "End", lambda: self._look(len(self._steps) - 1)),
                ("new_releases", "Next step to be noticed", "n", self._next_noticed),
            ):
                ui.button(icon=icon, on_click=act).props(f'flat round dense aria-label="{said}"').tooltip(
                    f"{said} ({key})"
                )
            self._play = (
                ui.button(icon="play_arrow", on_click=self._turn)
                .props('flat round dense aria-label="Play" data-testid=replay-play')
                .tooltip("Play, or pause (p)")
            )
            self._where = ui.label().classes("text-sm rw-dim").props("data-testid=replay-at")
        self._detail = ui.label().classes("text-sm rw-wrap").props("data-testid=replay-detail role=status")
        self._table = (
            ui.table(columns=_COLUMNS, rows=[], row_key="id", pagination=0)
            .props('flat dense virtual-scroll :virtual-scroll-item-size="30" hide-bottom data-testid=timeline')
            .classes("rw-steps")
        )
        self._table.add_slot("body", _BODY)
        self._table.on("pick", self._picked)
        self._table.on("copy", self._copied)
        self._timer = ui.timer(PLAY_S, lambda: self._by(1), active=False)
        ui.keyboard(self._key, ignore=["input", "select", "textarea"])

    def _picked(self, event: GenericEventArguments) -> None:
        if isinstance(event.args, int) and event.args in self._place:
            self._at = self._place[event.args]
            self._tell()

    def _copied(self, event: GenericEventArguments) -> None:
        seq, which = event.args
        step = self._steps[self._place[seq]] if seq in self._place else None
        digest = step and (step.result_sha if which else step.args_sha)
        if digest:
            ui.clipboard.write(digest)
            ui.notify(f"Copied {digest}")

    def _key(self, event: KeyEventArguments) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt:
            return
        key = event.key
        if key.arrow_right or key == "j":
            self._by(1)
        elif key.arrow_left or key == "k":
            self._by(-1)
        elif key == "Home":
            self._look(0)
        elif key == "End":
            self._look(len(self._steps) - 1)
        elif key == "n":
            self._next_noticed()
        elif key == "p":
            self._turn()

    def _turn(self) -> None:
        self._timer.active = not self._timer.active
        self._play.props(f"icon={'pause' if self._timer.active else 'play_arrow'}")

    def _by(self, steps: int) -> None:
        at = (-1 if self._at is None else self._at) + steps
        if at >= len(self._steps) and self._timer.active:
            self._turn()
        self._look(at)

    def _next_noticed(self) -> None:
        begin = -1 if self._at is None else self._at
        for at in range(begin + 1, len(self._steps)):
            step = self._steps[at]
            if step.anomalies or step.again is not None or step.refused or step.lost_before or step.status == "error":
                self._look(at)
                return

    def _look(self, at: int) -> None:
        if not self._steps:
            return
        self._at = max(0, min(at, len(self._steps) - 1))
        self._table.run_method("scrollTo", self._at)
        self._tell()

    def _tell(self) -> None:
        total = len(self._steps)
        if self._at is None or self._at >= total:
            self._where.text = f"{total:,} step{'' if total == 1 else 's'}; ← and → go through them"
            self._detail.text = ""
            self._mark("")
            return
        step = self._steps[self._at]
        self._where.text = f"{self._at + 1:,} of {total:,}"
        self._detail.text = self._told(step)
        self._mark(
            f"tr[data-seq='{int(step.seq)}'] td {{ background: color-mix(in srgb, var(--rw-accent) 18%, transparent) }}"
        )

    def _mark(self, css: str) -> None:
        # A rule, not a class on the row: rows of a virtual table come and go while it scrolls.
        ui.run_javascript(
            "let s = document.getElementById('rw-now');"
            "if (!s) { s = document.createElement('style'); s.id = 'rw-now'; document.head.append(s); }"
            f"s.textContent = {css!r};"
        )

    def _told(self, step: Step) -> str:
        parts = [f"Step {step.seq}: {shown(name_of(step), NAME)} at {self._clock(step.began_ms)}"]
        if step.duration_ms is not None and step.kind in CALLS:
            parts.append(f"took {MS.said(step.duration_ms)}")
        if step.args_sha:
            parts.append(f"arguments #{step.args_sha}")
        if step.result_sha:
            parts.append(f"result #{step.result_sha}")
        if status := status_of(step):
            parts.append(status)
        if step.input_tokens is not None or step.output_tokens is not None:
            parts.append(f"{step.input_tokens or 0:,} tokens read, {step.output_tokens or 0:,} written")
        if step.cost_usd is not None:
            parts.append(f"${step.cost_usd:.4g}")
        told = "; ".join([*parts, *notes_of(step)]) + "."
        rules = {one.anomaly_id: one for one in self._found}
        said = [f"{rules[one].rule}: {shown(rules[one].message, 300)}" for one in step.anomalies if one in rules]
        return " ".join([told, *said])
