"""A run's writes: which are under way, which are done, and what came of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Literal

from ..notices import Notices
from .store import Kept, Store

_DOING: ContextVar[tuple[Entry, ...]] = ContextVar("runwatch_doing", default=())
"""The writes that the code at hand is a part of."""


_DOUBTFUL = "it was begun before by a process that did not live to say how it ended, or is begun by another process now"


class Unsure(Exception):
    """Whether a write was done before is not known, or its result is not; the message is part of a sentence."""


class Entry:
    """A write that is under way or done."""

    __slots__ = ("awaited", "done", "key", "over", "result")

    def __init__(self, key: str, awaited: bool) -> None:
        self.key = key
        self.awaited = awaited
        """Whether its result is for `await`."""
        self.done = False
        self.result: Any = None
        self.over: Future[None] | None = None
        """Set when it is no longer under way, whether it is done or has failed; there once somebody waits for it."""


class Ledger:
    """Lets each write happen once. Threads and tasks may use it at once."""

    def __init__(self, run_id: str, store: Store | None, notices: Notices) -> None:
        self._run_id = run_id
        self._store = store
        self._notices = notices
        self._entries: dict[str, Entry] = {}
        # Reentrant: the collector may end a forgotten write in the middle of anything.
        self._lock = threading.RLock()

    def claim(self, key: str, awaited: bool) -> tuple[Entry | None, Future[None] | None]:
        """The entry of a write, and what to wait for if it is under way elsewhere: then claim again.

        An entry that is not done, with nothing to wait for, is the caller's to do, who then calls `begin`, and `done`
        or `failed`. No entry: the caller is a part of that very write. `awaited`: the caller's result is for `await`.
        Raises `Unsure`.
        """
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return self._new(key, awaited), None
            if found.done:
                return found, None
            if any(entry is found for entry in _DOING.get()):
                # A tool within itself, as one that is wrapped twice: to wait for it would be to wait for oneself.
                return None, None
            if found.over is None:
                found.over = Future()
                # Else one who waits and is cancelled would cancel it for all who wait.
                found.over.set_running_or_notify_cancel()
            return found, found.over

    def known(self, key: str) -> Entry | None:
        """The entry of a write that is done or under way."""
        return self._entries.get(key)

    def begin(self, entry: Entry) -> None:
        """The write is done next: notes it, so that it is known if this process does not live to say how it ended.

        Raises `Unsure` where it cannot be noted, or another process has begun it since.
        """
        if self._ask(entry.key, "begin") is not None:
            raise Unsure(_DOUBTFUL)

    def done(self, entry: Entry, result: Any) -> None:
        """The write is done. Never raises: it has happened."""
        if self._store is not None:
            try:
                self._store.done(self._run_id, entry.key, _as_json(result, entry.awaited))
            except Exception as trouble:  # a store may raise whatever it likes
                self._notices.tell("store", "a write is done, and the store could not note it: %s", trouble)
        entry.result = result
        with self._lock:
            entry.done = True
        _end(entry)

    def failed(self, entry: Entry, *, was_begun: bool) -> None:
        """The write failed, or never began; the next one who wants it does it. Never raises."""
        with self._lock:
            if entry.done or self._entries.get(entry.key) is not entry:
                return
            if self._store is not None and was_begun:
                try:
                    self._store.forget(self._run_id, entry.key)
                except Exception as trouble:  # as above
                    self._notices.tell("store", "a write failed, and the store could not note it: %s", trouble)
            del self._entries[entry.key]
        _end(entry)

    def after_fork(self, run_id: str) -> None:
        """A child's run is one of its own: it keeps what is done, and nobody there does what was under way."""
        self._run_id = run_id
        self._lock = threading.RLock()
        self._entries = {key: entry for key, entry in self._entries.items() if entry.done}

    def _new(self, key: str, awaited: bool) -> Entry:
        entry = Entry(key, awaited)
        kept = self._ask(key, "known")
        if kept is not None:
            if not kept.done:
                raise Unsure(_DOUBTFUL)
            if kept.result is None:
                raise Unsure("it was done before this process began, and its result was not one that JSON can hold")
            held = json.loads(kept.result)
            entry.awaited, entry.result, entry.done = held["awaited"], held["result"], True
        self._entries[key] = entry
        return entry

    def _ask(self, key: str, what: Literal["known", "begin"]) -> Kept | None:
        if self._store is None:
            return None
        try:
            kept: Kept | None = getattr(self._store, what)(self._run_id, key)
        except Exception as trouble:  # as above
            raise Unsure(f"the store that remembers writes does not work ({trouble})") from trouble
        return kept


def _end(entry: Entry) -> None:
    if entry.over is not None and not entry.over.done():
        entry.over.set_result(None)


def _as_json(result: Any, awaited: bool) -> str | None:
    try:
        return json.dumps({"awaited": awaited, "result": result}, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None


@contextmanager
def doing(entry: Entry) -> Iterator[None]:
    """The code within is the write itself."""
    token = _DOING.set((*_DOING.get(), entry))
    try:
        yield
    finally:
        # Left in another context than it was entered in, which then has none of this.
        with suppress(ValueError):
            _DOING.reset(token)
