"""What everybody looks at is asked for once, however many look; and while the store is away, shown as it last was."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..clickhouse import StoreError
from .store import Question, Store

T = TypeVar("T")

KEPT = 500
"""Answers that are remembered; those that nobody asked for the longest are forgotten first."""
TOLD_S = 10.0
"""A question that failed so long ago, and that nobody has asked since, is no trouble of now."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What is known. `value` is None only where it was never known; `error` says why it is not newer."""

    value: T | None
    at_ms: int
    """When it was asked for: wall clock, milliseconds since the epoch; 0 where it was never answered."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """The store does not answer, and since when (wall clock, milliseconds)."""

    sentence: str
    since_ms: int


@dataclass
class _Cell:
    answer: Answer[Any] = Answer(None, 0)
    asked_s: float = float("-inf")
    trouble: Trouble | None = None
    """Why the last answer did not come."""
    asking: asyncio.Task[None] | None = None


class Live:
    """Answers to questions that are asked again and again, for all viewers of one process."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._store = store
        self._clock = clock
        self._now_ms = now_ms
        self._cells: OrderedDict[Hashable, _Cell] = OrderedDict()

    async def ask(self, key: Hashable, every_s: float, question: Question[T]) -> Answer[T]:
        """The answer to the question that `key` stands for, not older than `every_s` if the store answers.

        Whoever asks while it is being asked waits for the same answer. Never raises a `StoreError`.
        """
        cell = self._cells.setdefault(key, _Cell())
        self._cells.move_to_end(key)
        while len(self._cells) > KEPT:
            self._cells.popitem(last=False)
        if cell.asking is None and self._clock() - cell.asked_s >= every_s:
            cell.asking = asyncio.create_task(self._refresh(cell, question))
        if cell.asking is not None:
            # Shielded: one viewer who leaves does not take the answer from the others.
            await asyncio.shield(cell.asking)
        return cell.answer

    def trouble(self) -> Trouble | None:
        """What is wrong with the store, and the longest: a question that is still asked and not answered."""
        now_s = self._clock()
        # While it is being asked again, which may take long, it is still trouble.
        asked = (one for one in self._cells.values() if one.asking is not None or now_s - one.asked_s < TOLD_S)
        found = [one.trouble for one in asked if one.trouble is not None]
        return min(found, key=lambda one: one.since_ms, default=None)

    async def _refresh(self, cell: _Cell, question: Question[Any]) -> None:
        at_ms = self._now_ms()
        try:
            value = await self._store.ask(question)
        except StoreError as error:
            cell.answer = Answer(cell.answer.value, cell.answer.at_ms, str(error))
            cell.trouble = Trouble(str(error), cell.trouble.since_ms if cell.trouble else at_ms)
        else:
            cell.answer = Answer(value, at_ms)
            cell.trouble = None
        finally:
            cell.asked_s = self._clock()
            cell.asking = None
