"""Steps that may have to wait, written once for threads and for asyncio.

A generator yields what is to be waited for: seconds, a `concurrent.futures.Future` that somebody sets, or an
awaitable, whose result it is sent.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
Wait = float | Future[None] | Awaitable[Any]
Steps = Generator[Wait, Any, T]


def run_here(steps: Steps[T]) -> T:
    """Goes through the steps, and blocks this thread while they wait."""
    try:
        waits_for = next(steps)
        while True:
            try:
                answer = _blocked(waits_for)
            except BaseException as error:
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's return value


async def run_async(steps: Steps[T]) -> T:
    """Goes through the steps, and lets others run while they wait."""
    try:
        waits_for = next(steps)
        while True:
            try:
                answer = await _awaited(waits_for)
            except BaseException as error:
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # as above


def is_async(fn: Callable[..., Any]) -> bool:
    """Whether a call of `fn` gives something to await, as far as can be seen without calling it."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def _blocked(waits_for: Wait) -> Any:
    if isinstance(waits_for, float | int):
        return time.sleep(waits_for)
    if isinstance(waits_for, Future):
        return waits_for.result()
    return _answer_of(waits_for)


async def _awaited(waits_for: Wait) -> Any:
    if isinstance(waits_for, float | int):
        return await asyncio.sleep(waits_for)
    if isinstance(waits_for, Future):
        return await asyncio.wrap_future(waits_for)
    return await waits_for


def _answer_of(awaitable: Awaitable[Any]) -> Any:
    """The result of an awaitable, for code that cannot await it."""

    async def ask() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(ask())
    # A loop runs in this thread already, and stands still for as long as this call does.
    answer: Future[Any] = Future()

    def work() -> None:
        try:
            answer.set_result(asyncio.run(ask()))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()
    return answer.result()
