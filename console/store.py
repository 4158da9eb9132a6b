"""Questions to ClickHouse from async code: each is asked in a thread, by a reader of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from ..clickhouse import StoreAway, connect
from ..config import Settings
from ..sinks.query import Reader
from .stats import Asked

T = TypeVar("T")
Question = Callable[[Reader], T]

THREADS = 4
"""Questions at a time; more wait. ClickHouse itself uses every core for one."""
ANSWER_S = 20.0
"""Longer than any page's question may take: whoever waits for more has a store in trouble."""


class Store:
    """The ClickHouse in `settings`, for everything that the console shows."""

    def __init__(self, settings: Settings, asked: Asked) -> None:
        """Connects with the first question. `asked` takes note of each."""
        self._settings = settings
        self._asked = asked
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="console-store")
        self._local = threading.local()

    async def ask(self, question: Question[T]) -> T:
        """What `question` returns of a reader. Raises `StoreError`, which says what is wrong in a sentence."""
        began_s = perf_counter()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question)
        except Exception:
            self._asked.unanswered()
            raise
        self._asked.answered(perf_counter() - began_s)
        return answer

    def close(self) -> None:
        """No more questions; those that wait are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, question: Question[T]) -> T:
        try:
            return question(self._reader())
        except StoreAway:
            # The connection may be of a server that is no more.
            self._local.reader = None
            raise

    def _reader(self) -> Reader:
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            client = connect(self._settings, timeout_s=ANSWER_S, max_execution_time=ANSWER_S)
            reader = self._local.reader = Reader(self._settings, client)
        return reader
