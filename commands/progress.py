"""A progress bar for what takes more than two seconds, on standard error and only where a person looks."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .output import notes

PATIENCE_S = 2.0


class LateBar:
    """A context manager. `set` says how far it is; the bar shows itself when there was time to get impatient."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def set(self, done: float, total: float | None) -> None:
        """`done` of `total`, in any unit; None where the total is not known."""
        if self._bar is None:
            if time.monotonic() - self._began < PATIENCE_S or not notes.is_terminal:
                return
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=notes, transient=True
            )
            self._task = self._bar.add_task(self._title, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> LateBar:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
