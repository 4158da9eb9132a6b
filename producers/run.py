"""One run of an agent: what its code calls, timed and logged, and its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, TypeVar

from ..schemas import reasons
from ..schemas.json_form import MAX_NAME
from . import fields
from .answers import HTTP_ERROR, payload_of, status_of
from .clock import Clock
from .current import CURRENT
from .notices import Notices
from .run_log import RunLog
from .tools import Decorator, make_decorator
from .usage import StopReport, model_of, tokens_of

T = TypeVar("T")


class ToolCall:
    """A tool call that is under way."""

    __slots__ = ("args_sha", "attempt", "began", "step_id", "tool")

    def __init__(self, tool: str, step_id: str, args_sha: str | None, attempt: int | None, began: float) -> None:
        self.tool = tool
        self.step_id = step_id
        self.args_sha = args_sha
        self.attempt = attempt
        self.began = began


class Run:
    """A run, made by `Watch.run`. Several threads and tasks may use it at once.

    A context manager, plain or `async`: leaving it stops the run, unless it was stopped before, with the
    reason of the exception that ended it, or `cancelled`. Nothing here raises for trouble of its own.
    """

    def __init__(self, log: RunLog, clock: Clock, notices: Notices, owner: object) -> None:
        """`owner` is kept for as long as the run is: the watch that made it."""
        self._log = log
        self._clock = clock
        self._notices = notices
        self._owner = owner
        self._token: Token[Run | None] | None = None

    @property
    def run_id(self) -> str:
        """The run's id. A forked child that goes on with its parent's run does so as a run of its own."""
        return self._log.info.run_id

    @property
    def stopped(self) -> bool:
        """Whether the run has stopped."""
        return self._log.report is not None

    def call_tool(
        self,
        tool: str,
        args: Any,
        fn: Callable[..., T],
        *,
        attempt: int | None = None,
        step_id: str | None = None,
    ) -> T:
        """Calls a tool and logs how it went; returns what it returns, raises what it raises.

        `fn` is called with a mapping's items as keywords, a list's or tuple's as positions, nothing for
        None, and anything else as its one argument. Where it returns an awaitable, so does this, and the
        call is logged once that is done. `attempt` is 1 for a first try, 2 for its first retry, and so on.
        """
        call = self._tool_began(tool, args, attempt, step_id)
        try:
            result = _invoke(fn, args)
        except BaseException as error:
            self._tool_raised(call, error)
            raise
        if hasattr(type(result), "__await__"):
            # An awaitable of the same result: T again, as far as the caller can tell.
            return self._tool_awaited(call, result)  # type: ignore[arg-type, return-value]
        self._tool_returned(call, result)
        return result

    def tool(self, name: str | None = None) -> Decorator:
        """A decorator, for functions plain or async, that makes each call one of this run's tool `name`.

        The function's own name where none is given. Arguments are hashed by their names in its signature.
        """
        return make_decorator(name, lambda: self)

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
        try:
            if error is None and result_sha is None:
                result_sha = fields.hashed(result)
            self._log.tool(
                fields.text(tool) or "",
                fields.text(step_id) or self._log.next_step(),
                fields.text(args_sha) or fields.hashed(args),
                fields.text(result_sha),
                fields.whole(duration_ms),
                "ok" if error is None else "error",
                _class_name(error),
                fields.small(attempt),
                fields.small(http_status) or _status_of_error(error),
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    def model_call(
        self,
        fn: Callable[[], T] | None = None,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | Callable[[Any], float | None] | None = None,
        model: str | None = None,
        duration_ms: float | None = None,
        error: BaseException | str | None = None,
        step_id: str | None = None,
    ) -> T | None:
        """Logs a call of a model: of `fn`, which is called here, or one that happened elsewhere.

        With `fn` this returns what `fn` returns (an awaitable where that is one) and raises what it raises;
        tokens and model are read from the response where they are not given, and `cost_usd` may be a
        function of the response. Without `fn`, what is given is logged and None returned.
        """
        given = (input_tokens, output_tokens, cost_usd, model, step_id)
        if fn is None:
            self._model_done(None, given, duration_ms, error)
            return None
        began = self._clock.monotonic()
        try:
            response = fn()
        except BaseException as raised:
            self._model_done(None, given, self._log.elapsed_ms(began), raised)
            raise
        if hasattr(type(response), "__await__"):
            # As in `call_tool`.
            return self._model_awaited(given, began, response)  # type: ignore[arg-type, return-value]
        self._model_done(response, given, self._log.elapsed_ms(began), None)
        return response

    def stop(self, reason: str = reasons.SUCCESS, outcome: float | None = None) -> StopReport:
        """Ends the run, and answers with status, reason and totals; a second stop changes nothing.

        `reason` is one of `schemas/reasons.py` or the caller's own; `outcome`, 0 to 1, says whether the
        result was any good.
        """
        return self._log.stop(fields.text(reason) or reasons.UNKNOWN, fields.judged(outcome))

    def __enter__(self) -> Run:
        self._token = CURRENT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            try:
                CURRENT.reset(self._token)
            except ValueError:
                # Left in another context than it was entered in, as generators of asyncio may be.
                CURRENT.set(None)
            self._token = None
        self.stop(reasons.CANCELLED if error is None else reasons.of_exception(error))

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __del__(self) -> None:
        # Whoever forgot the run has no more use for it; a run that was never fully made has no log.
        log = getattr(self, "_log", None)
        if log is not None and log.report is None:
            log.stop(reasons.CANCELLED, None)

    def after_fork(self) -> None:
        """See `RunLog.after_fork`."""
        self._log.after_fork()

    def _tool_began(self, tool: str, args: Any, attempt: int | None, step_id: str | None) -> ToolCall:
        # The hash is taken before the call, which may change its arguments, and here rather than in the
        # background: what waits in memory is a hash, never a payload.
        return ToolCall(
            tool if type(tool) is str and len(tool) <= MAX_NAME else fields.text(tool) or "",
            self._log.next_step() if step_id is None else fields.text(step_id) or "",
            fields.hashed(args),
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
                fields.hashed(payload_of(result)),
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
                _class_name(error),
                fields.small(call.attempt),
                _status_of_error(error),
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

    async def _model_awaited(self, given: tuple[Any, ...], began: float, waiting: Awaitable[Any]) -> Any:
        try:
            response = await waiting
        except BaseException as error:
            self._model_done(None, given, self._log.elapsed_ms(began), error)
            raise
        self._model_done(response, given, self._log.elapsed_ms(began), None)
        return response

    def _model_done(
        self,
        response: Any,
        given: tuple[Any, ...],
        duration_ms: float | None,
        error: BaseException | str | None,
    ) -> None:
        try:
            input_tokens, output_tokens, cost_usd, model, step_id = given
            read, written = tokens_of(response)
            if callable(cost_usd):
                cost_usd = None if response is None else cost_usd(response)
            self._log.model(
                fields.text(step_id) or self._log.next_step(),
                fields.text(model if model is not None else model_of(response)),
                fields.whole(duration_ms),
                fields.whole(input_tokens) if input_tokens is not None else read,
                fields.whole(output_tokens) if output_tokens is not None else written,
                fields.real(cost_usd),
                "ok" if error is None else "error",
                _class_name(error),
                _status_of_error(error),
            )
        except Exception as trouble:  # see `_trouble`
            self._trouble(trouble)

    def _trouble(self, error: Exception) -> None:
        """The caller's objects run code of their own when they are looked at; the agent must not pay for it."""
        self._notices.tell("trouble", "a step could not be logged: %s: %s", type(error).__name__, error)


def _invoke(fn: Callable[..., T], args: Any) -> T:
    if isinstance(args, Mapping):
        return fn(**args)
    if isinstance(args, list | tuple):
        return fn(*args)
    return fn() if args is None else fn(args)


def _class_name(error: BaseException | str | None) -> str | None:
    return type(error).__name__ if isinstance(error, BaseException) else fields.text(error)


def _status_of_error(error: BaseException | str | None) -> int | None:
    return reasons.http_status(error) if isinstance(error, BaseException) else None
