"""What calls of tools and of models have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..schemas import reasons
from . import fields
from .clock import Clock
from .guard.guard import Guard
from .guard.refusals import Refused, RunStopped
from .notices import Notices
from .run_log import RunLog

if TYPE_CHECKING:
    from ..schemas.snapshots import PayloadKind
    from .snapshots.taking import Taker

T = TypeVar("T")


class Calls:
    """The part of a run that its calls need."""

    def __init__(self, log: RunLog, clock: Clock, notices: Notices, guard: Guard, taker: Taker | None = None) -> None:
        """`taker` keeps what arguments and results were; None where nothing is kept."""
        self._log = log
        self._clock = clock
        self._notices = notices
        self._guard = guard
        self._taker = taker

    def _hashed(self, value: Any, kind: PayloadKind, tool: str) -> str | None:
        """The hash of a payload, which is taken where snapshots are on; None where its own methods raise."""
        if self._taker is None:
            return fields.hashed(value)
        return self._taker.hashed(value, kind, self._log.info.agent, tool)

    def _was_refused(self, refused: Refused) -> None:
        """To be called when the refusal's event was logged: one that ends the run does so here."""
        if isinstance(refused, RunStopped):
            self._log.stop(refused.stop_reason, None)

    def _trouble(self, error: Exception) -> None:
        """The caller's objects run code of their own when they are looked at; the agent must not pay for it.

        What they say may hold what must not be in a log.
        """
        self._notices.tell("trouble", "a step could not be logged: %s", type(error).__name__)


def invoke(fn: Callable[..., T], args: Any) -> T:
    """Calls a tool's function with what was handed over as its arguments: see `ToolCalls.call_tool`."""
    # What is most often comes first: to ask whether something is a Mapping takes as long as the rest of it.
    if type(args) is dict or isinstance(args, Mapping):
        return fn(**args)
    if isinstance(args, list | tuple):
        return fn(*args)
    return fn() if args is None else fn(args)


def class_name(error: BaseException | str | None) -> str | None:
    """An error's class, of an exception or as it was named."""
    return type(error).__name__ if isinstance(error, BaseException) else fields.text(error)


def status_of_error(error: BaseException | str | None) -> int | None:
    """The HTTP status that an exception carries, if it does."""
    return reasons.http_status(error) if isinstance(error, BaseException) else None
