"""One run of an agent: its beginning, its end, and in between its calls."""

from __future__ import annotations

from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING

from ..schemas import reasons
from . import fields
from .clock import Clock
from .current import CURRENT
from .guard.guard import Guard
from .guard.refusals import Refused
from .model_calls import ModelCalls
from .notices import Notices
from .run_log import RunLog
from .tool_calls import ToolCalls
from .usage import StopReport

if TYPE_CHECKING:
    from .snapshots.taking import Taker


class Run(ToolCalls, ModelCalls):
    """A run, made by `Watch.run`. Several threads and tasks may use it at once.

    A context manager, plain or `async`: leaving it stops the run, unless it was stopped before, with the
    reason of the exception that ended it, or `cancelled`. Nothing here raises for trouble of its own; what the
    guard refuses raises `Refused`.
    """

    def __init__(
        self,
        log: RunLog,
        clock: Clock,
        notices: Notices,
        guard: Guard,
        owner: object,
        taker: Taker | None = None,
    ) -> None:
        """`owner` is kept for as long as the run is: the watch that made it."""
        super().__init__(log, clock, notices, guard, taker)
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

    @property
    def refused(self) -> int:
        """Calls that were refused so far. After the run's end only the first hundred of them are events."""
        return self._log.refused

    def check(self) -> None:
        """Raises `RunStopped` if the run may make no more calls: for loops that make theirs elsewhere.

        It ends the run as a refused call does, and is no step itself.
        """
        try:
            self._guard.check()
        except Refused as refused:
            self._was_refused(refused)
            raise

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
        """See `RunLog.after_fork`, `Guard.after_fork`."""
        self._log.after_fork()
        self._guard.after_fork()
