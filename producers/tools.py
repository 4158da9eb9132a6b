"""The decorator that makes a function's every call a tool call of a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .outside import Outside
    from .tool_calls import ToolCalls

F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """Takes a function and gives one of the same kind."""

    def __call__(self, fn: F, /) -> F: ...


def make_decorator(
    name: str | None, writes: bool | None, find_run: Callable[[], ToolCalls | None], outside: Outside | None
) -> Decorator:
    """A decorator for the tool `name`. Each call belongs to the run that `find_run` answers; where it answers none,
    `outside` says whether the call may be made. `writes` as in `ToolCalls.call_tool`.
    """

    def decorate(fn: F) -> F:
        tool = name if name is not None else getattr(fn, "__name__", type(fn).__name__)
        named = _positional_names(fn)

        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                async def call(**_: Any) -> Any:
                    return await fn(*args, **kwargs)

                run = find_run()
                by_name = _by_name(named, args, kwargs)
                if run is None:
                    if outside is not None:
                        await outside.check_async(tool, by_name, writes)
                    return await call()
                return await run.call_tool(tool, by_name, call, writes=writes)

            return awaited  # type: ignore[return-value]  # wraps() keeps the signature, which mypy cannot see

        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            run = find_run()
            by_name = _by_name(named, args, kwargs)
            if run is None:
                if outside is not None:
                    outside.check(tool, by_name, writes)
                return fn(*args, **kwargs)
            return run.call_tool(tool, by_name, lambda **_: fn(*args, **kwargs), writes=writes)

        return called  # type: ignore[return-value]  # as above

    return decorate


def _positional_names(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what can be given by position, in order."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # some functions written in C do not say
        return ()
    return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))


def _by_name(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments as a mapping, so that f(1) and f(x=1) are the same call."""
    if not args:
        return kwargs
    out = dict(zip(names, args, strict=False))
    # The object that a method belongs to is no argument of the call.
    if names and names[0] in ("self", "cls"):
        del out[names[0]]
    out.update(kwargs)
    if len(args) > len(names):
        out["*"] = list(args[len(names) :])
    return out
