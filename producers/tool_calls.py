"""A run's calls of tools: asked of the guard, timed and logged."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..schemas.json_form import MAX_NAME
from . import fields
from .answers import HTTP_ERROR, payload_of, status_of
from .calls import Calls, class_name, invoke, status_of_error
from .guard.guard import Plan
from .guard.refusals import Refused
from .guard.waiting import is_async, run_async, run_here
from .guard.writes import Write
from .tools import Decorator, make_decorator

T = TypeVar("T")

ALREADY_DONE = "AlreadyDone"
"""The error class, with status `ok`, of a write that was answered with the result of the first one."""


class ToolCall:
    """A tool call that is under way."""

    __slots__ = ("args_sha", "attempt", "began", "step_id", "tool")

    def __init__(self, tool: str, step_id: str, args_sha: str | None, attempt: int | None, began: float) -> None:
        self.tool = tool
        self.step_id = step_id
        self.args_sha = args_sha
        self.attempt = attempt
        self.began = began


class ToolCalls(Calls):
    """The part of a run that calls tools."""

    def call_tool(
        self,
        tool: str,
        args: Any,
        fn: Callable[..., T],
        *,
        attempt: int | None = None,
        step_id: str | None = None,
        writes: bool | None = None,
        idempotency_key: object = None,
    ) -> T:
        """Calls a tool and logs how it went; returns what it returns, raises what it raises.

        `fn` is called with a mapping's items as keywords, a list's or tuple's as positions, nothing for
        None, and anything else as its one argument. Where it returns an awaitable, so does this, and the
        call is logged once that is done. `attempt` is 1 for a first try, 2 for its first retry, and so on.

        `writes` says that the call changes something. The same write, by its `idempotency_key` or else by its
        arguments, is done once in a run; later ones are given the first one's result. Raises `RunStopped`,
        `ToolDenied` or `ApprovalRequired` instead of calling `fn`.
        """
        call = self._tool_began(tool, args, attempt, step_id)
        try:
            plan = self._guard.tool_begins(call.tool, writes)
        except Refused as refused:
            self._tool_refused(call, refused)
            raise
        if plan is not None:
            return self._write(call, plan, args, fn, idempotency_key)
        try:
            result = invoke(fn, args)
        except BaseException as error:
            self._tool_raised(call, error)
            raise
        if hasattr(type(result), "__await__"):
            # An awaitable of the same result: T again, as far as the caller can tell.
            return self._tool_awaited(call, result)  # type: ignore[arg-type, return-value]
        self._tool_returned(call, result)
        return result

    def tool(self, name: str | None = None, *, writes: bool | None = None) -> Decorator:
        """A decorator, for functions plain or async, that makes each call one of this run's tool `name`.

        The function's own name where none is given. Arguments are hashed by their names in its signature.
        `writes` as in `call_tool`.
        """
        return make_decorator(name, writes, lambda: self, None)

    def record_tool(
        self,
        tool: str,
        args: Any = None,
        result: Any = None,
        *,
        args_sha: str | None = None,
        result_sha: str | None = None,
        duration_ms: float | None = None,
        error: BaseException | str | None = None,
        http_status: int | None = None,
        attempt: int | None = None,
        step_id: str | None = None,
    ) -> None:
        """Logs a tool call that happened elsewhere; `error` (an exception or its class's name) if it failed.

        `args` and `result` are hashed unless their hashes are given; a failed call has no result.
        """
        self._guard.tool_happened()
        try:
            name = fields.text(tool) or ""
            if error is None and result_sha is None:
                result_sha = self._hashed(result, "result", name)
            self._log.tool(
                name,
                fields.text(step_id) or self._log.next_step(),
                fields.text(args_sha) or self._hashed(args, "args", name),
                fields.text(result_sha),
                fields.whole(duration_ms),
                "ok" if error is None else "error",
                class_name(error),
                fields.small(attempt),
                fields.small(http_status) or status_of_error(error),
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    def _tool_began(self, tool: str, args: Any, attempt: int | None, step_id: str | None) -> ToolCall:
        # The hash is taken before the call, which may change its arguments, and here rather than in the
        # background: what waits in memory is a hash, never a payload, unless snapshots were asked for.
        name = tool if type(tool) is str and len(tool) <= MAX_NAME else fields.text(tool) or ""
        return ToolCall(
            name,
            self._log.next_step() if step_id is None else fields.text(step_id) or "",
            self._hashed(args, "args", name),
            attempt,
            self._clock.monotonic(),
        )

    def _tool_returned(self, call: ToolCall, result: Any) -> None:
        duration_ms = self._log.elapsed_ms(call.began)
        try:
            status = status_of(result)
            failed = status is not None and status >= 400
            self._log.tool(
                call.tool,
                call.step_id,
                call.args_sha,
                self._hashed(payload_of(result), "result", call.tool),
                duration_ms,
                "error" if failed else "ok",
                HTTP_ERROR if failed else None,
                fields.small(call.attempt),
                status,
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    def _tool_raised(self, call: ToolCall, error: BaseException) -> None:
        duration_ms = self._log.elapsed_ms(call.began)
        try:
            self._log.tool(
                call.tool,
                call.step_id,
                call.args_sha,
                None,
                duration_ms,
                "error",
                class_name(error),
                fields.small(call.attempt),
                status_of_error(error),
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    async def _tool_awaited(self, call: ToolCall, waiting: Awaitable[Any]) -> Any:
        try:
            result = await waiting
        except BaseException as error:
            self._tool_raised(call, error)
            raise
        self._tool_returned(call, result)
        return result

    def _write(self, call: ToolCall, plan: Plan, args: Any, fn: Callable[..., T], idempotency_key: object) -> T:
        """A call that writes, done unless it was done already or wants an approval that it does not get."""
        writes = self._guard.writes
        write = writes.wanted(plan.tool, plan.ruling, args, call.args_sha, call.step_id, idempotency_key)
        known = writes.known(write)
        if is_async(fn) or (known is not None and known.awaited):
            return self._write_later(call, write, args, fn)  # type: ignore[return-value]  # as in `call_tool`
        try:
            entry = run_here(self._guard.writes.settle(write, False, self._guard.recheck))
        except Refused as refused:
            self._tool_refused(call, refused)
            raise
        if entry is not None:
            self._tool_known(call, entry.result)
            return _ready(entry.result) if entry.awaited else entry.result  # type: ignore[return-value]
        try:
            with self._guard.writes.doing(write):
                result = invoke(fn, args)
        except BaseException as error:
            self._guard.writes.failed(write)
            self._tool_raised(call, error)
            raise
        if hasattr(type(result), "__await__"):
            self._guard.writes.goes_on(write)
            waiting = self._write_awaited(call, write, result)  # type: ignore[arg-type]
            # Whoever never awaits it would keep others waiting.
            weakref.finalize(waiting, self._guard.writes.failed, write).atexit = False
            return waiting  # type: ignore[return-value]  # as in `call_tool`
        self._written(call, write, result)
        return result

    async def _write_later(self, call: ToolCall, write: Write, args: Any, fn: Callable[..., Any]) -> Any:
        try:
            entry = await run_async(self._guard.writes.settle(write, True, self._guard.recheck))
        except Refused as refused:
            self._tool_refused(call, refused)
            raise
        if entry is not None:
            self._tool_known(call, entry.result)
            return entry.result
        try:
            with self._guard.writes.doing(write):
                result = invoke(fn, args)
        except BaseException as error:
            self._guard.writes.failed(write)
            self._tool_raised(call, error)
            raise
        return await self._write_awaited(call, write, result)

    async def _write_awaited(self, call: ToolCall, write: Write, waiting: Awaitable[Any]) -> Any:
        try:
            with self._guard.writes.doing(write):
                result = await waiting
        except BaseException as error:
            self._guard.writes.failed(write)
            self._tool_raised(call, error)
            raise
        self._written(call, write, result)
        return result

    def _written(self, call: ToolCall, write: Write, result: Any) -> None:
        # What a server answered with an error was not done, although nothing was raised.
        try:
            failed = (status_of(result) or 0) >= 400
        except Exception:  # see `_trouble`
            failed = False
        if failed:
            self._guard.writes.failed(write)
        else:
            self._guard.writes.done(write, result)
        self._tool_returned(call, result)

    def _tool_known(self, call: ToolCall, result: Any) -> None:
        duration_ms = self._log.elapsed_ms(call.began)
        try:
            self._log.tool(
                call.tool,
                call.step_id,
                call.args_sha,
                fields.hashed(payload_of(result)),
                duration_ms,
                "ok",
                ALREADY_DONE,
                fields.small(call.attempt),
                None,
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    def _tool_refused(self, call: ToolCall, refused: Refused) -> None:
        try:
            self._log.tool_refused(
                call.tool,
                call.step_id,
                call.args_sha,
                type(refused).__name__,
                fields.small(call.attempt),
                refused.stop_reason,
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)
        self._was_refused(refused)


async def _ready(result: Any) -> Any:
    return result
