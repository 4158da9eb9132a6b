"""The run that the code at hand belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run

CURRENT: ContextVar[Run | None] = ContextVar("runwatch_run", default=None)


def current_run() -> Run | None:
    """The run whose `with` block this code is in, or None.

    Tasks of asyncio inherit it. A new thread does not: give the thread
    `contextvars.copy_context().run` as its target, or the run itself.
    """
    return CURRENT.get()
