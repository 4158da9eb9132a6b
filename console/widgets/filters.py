"""What is looked at: span, part of the fleet, split. It stands in the address, so that a page can be sent to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from nicegui import ui

from ..ask.fleet import DIMENSIONS, Choices, Dimension, Filter
from ..ask.span import LENGTHS_MS
from .plain import shown

SPAN: Final = "1h"
LABELS: Final[dict[Dimension, str]] = {"agent": "Agent", "version": "Version", "model": "Model", "tool": "Tool"}


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer looks at."""

    span: str = SPAN
    only: Filter = field(default_factory=Filter)
    split: Dimension | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> View:
        """From a query string; what is in it that we do not know is left aside."""
        span, split = query.get("span", SPAN), query.get("split")
        only = Filter(**{name: query[name] for name in DIMENSIONS if query.get(name)})
        return cls(
            span if span in LENGTHS_MS else SPAN, only, next((name for name in DIMENSIONS if name == split), None)
        )

    def address(self, path: str) -> str:
        """The path with the query string that leads here again."""
        said: dict[str, str | None] = {"span": self.span if self.span != SPAN else None, "split": self.split}
        said.update(self.only.given.items())
        return address(path, said)

    def narrowed(self, **values: str | None) -> View:
        """The same with other values of agent, version, model or tool."""
        return replace(self, only=replace(self.only, **values))


def address(path: str, said: Mapping[str, str | None]) -> str:
    """A path with a query string of what is said."""
    query = urlencode({name: value for name, value in said.items() if value})
    return f"{path}?{query}" if query else path


class Filters:
    """The controls. `changed` is called with what is looked at from now on."""

    def __init__(self, path: str, view: View, changed: Callable[[View], Any]) -> None:
        self._path = path
        self._changed = changed
        self.view = view
        self._choices = Choices([], [], [], [])
        self._selects: dict[Dimension, ui.select] = {}
        self._is_setting = False
        with ui.row().classes("w-full items-center gap-2"):
            self._span = ui.toggle(list(LENGTHS_MS), value=view.span, on_change=self._on_span).props(
                "dense no-caps unelevated toggle-color=primary data-testid=span aria-label=Time"
            )
            for name in DIMENSIONS:
                self._selects[name] = self._select(name)
            self._split = (
                ui.select(
                    {"": "Not split", **{name: f"By {name}" for name in DIMENSIONS}},
                    value=view.split or "",
                    label="Split",
                    on_change=self._on_split,
                )
                .props("dense outlined options-dense data-testid=split")
                .classes("rw-filter")
            )
            self._clear = ui.button("Clear", icon="close", color=None, on_click=self._on_clear).props(
                "flat dense no-caps data-testid=clear-filters"
            )
        self._clear.visible = bool(view.only.given)

    def offer(self, choices: Choices) -> None:
        """What there is to choose from."""
        if choices == self._choices:
            return
        self._choices = choices
        for name, select in self._selects.items():
            select.set_options(self._options(name), value=getattr(self.view.only, name))

    def go(self, view: View) -> None:
        """Looks at something else from now on."""
        self._is_setting = True
        self.view = view
        self._span.value = view.span
        self._split.value = view.split or ""
        for name, select in self._selects.items():
            select.set_options(self._options(name), value=getattr(view.only, name))
        self._is_setting = False
        self._say()

    def _select(self, name: Dimension) -> ui.select:
        select = ui.select(
            self._options(name),
            value=getattr(self.view.only, name),
            label=LABELS[name],
            with_input=True,
            clearable=True,
            on_change=lambda event: self._on_select(name, event.value),
        )
        return select.props(f"dense outlined options-dense data-testid=filter-{name}").classes("rw-filter")

    def _options(self, name: Dimension) -> dict[str, str]:
        """Value → text; with the one that is chosen, whether or not it was seen lately."""
        known: list[str] = getattr(self._choices, f"{name}s")
        chosen = getattr(self.view.only, name)
        return {each: shown(each, 60) for each in ([chosen] if chosen and chosen not in known else []) + known}

    def _on_span(self, event: Any) -> None:
        if not self._is_setting:
            self.view = replace(self.view, span=event.value)
            self._say()

    def _on_split(self, event: Any) -> None:
        if not self._is_setting:
            self.view = replace(self.view, split=event.value or None)
            self._say()

    def _on_select(self, name: Dimension, value: str | None) -> None:
        if not self._is_setting and value != getattr(self.view.only, name):
            self.view = self.view.narrowed(**{name: value})
            self._say()

    def _on_clear(self) -> None:
        self.go(replace(self.view, only=Filter()))

    def _say(self) -> None:
        self._clear.visible = bool(self.view.only.given)
        ui.navigate.history.replace(self.view.address(self._path))
        self._changed(self.view)
