"""A part of a page that is built anew when what it shows has changed, and at no other time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from nicegui import ui

T = TypeVar("T")


class Part(Generic[T]):
    """What `build` makes of a value, within `place`."""

    def __init__(self, place: ui.element, build: Callable[[T], None]) -> None:
        """Nothing is built before the first `show`."""
        self._place = place
        self._build = build
        self._shown: object = self

    def show(self, what: T) -> None:
        """Shows that, in place of what was there if it is another."""
        if what == self._shown:
            return
        self._shown = what
        self._place.clear()
        with self._place:
            self._build(what)
