"""A progress bar for what takes more than two seconds, on standard error and only where a person looks."""

from __future__ import annotations

import sys
import threading

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .output import notes

PATIENCE_S = 2.0


class LateBar:
    """A context manager. The bar shows itself once there was time to get impatient; `set` says how far it is."""

    def __init__(self, title: str, patience_s: float = PATIENCE_S) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=notes,
            transient=True,
            # What is printed meanwhile goes above the bar; but a pipe's share stays the pipe's.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task(title, total=None)
        self._timer = threading.Timer(patience_s, self._show)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._shown = self._over = False

    def set(self, done: float, total: float | None) -> None:
        """`done` of `total`, in any unit; None where the total is not known."""
        self._bar.update(self._task, completed=done, total=total)

    def _show(self) -> None:
        with self._lock:
            if not self._over:
                self._bar.start()
                self._shown = True

    def __enter__(self) -> LateBar:
        if notes.is_terminal:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._shown:
                self._bar.stop()
