"""Writes that wait for a person: who is asked, in which order, and what the answer is."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ...schemas import reasons
from ...schemas.controls import Control
from ..notices import LOGGER
from .refusals import ApprovalRequired, ToolDenied
from .waiting import Steps

LOOK_S = 0.1
"""Between two looks for an answer."""


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A write that waits for its approval, as the callback of `connect` is asked for it."""

    approval_id: str
    """The same whenever the same run wants the same: what `runwatch approve` takes."""
    run_id: str
    agent: str
    tool: str
    args: Any
    """As they were handed to the call; not to be changed."""
    args_sha: str | None


Answer = bool | None
"""True: it may be done. False: it may not. None: the one who was asked does not know."""
Approve = Callable[[ApprovalRequest], Answer | Awaitable[Answer]]


class Approvals:
    """Asks for approvals, the same one only once in a run."""

    def __init__(self, approve: Approve | None, wait_s: float, read: Callable[[str], Control | None] | None) -> None:
        """`read` gives what stands in the control topic for an approval's id; None where no topic is followed."""
        self._approve = approve
        self._wait_s = wait_s
        self._read = read
        self._answers: dict[str, bool] = {}

    def ask(self, request: ApprovalRequest, check: Callable[[], None]) -> Steps[None]:
        """Steps that end once the write is approved. Raise `ToolDenied`, `ApprovalRequired`, or what `check` raises.

        `check` is called after each wait: the run may have been stopped meanwhile.
        """
        answer = yield from self._asked(request, check)
        if answer is None:
            answer = yield from self._awaited(request, check)
        if answer is None:
            raise self._required(request)
        if not answer:
            raise self._denied(request, "the one who was asked said no")

    def _asked(self, request: ApprovalRequest, check: Callable[[], None]) -> Steps[Answer]:
        """The callback's answer."""
        known = self._answers.get(request.approval_id)
        if known is not None or self._approve is None:
            return known
        try:
            answer = self._approve(request)
            if hasattr(type(answer), "__await__"):
                answer = yield answer  # type: ignore[misc]  # the answer to an awaitable is its result
        except Exception as trouble:  # whatever the caller's code finds wrong
            raise self._required(request, f"; the callback that was asked failed: {trouble!r}") from trouble
        check()
        if answer is not None:
            self._answers[request.approval_id] = bool(answer)
        return None if answer is None else bool(answer)

    def _awaited(self, request: ApprovalRequest, check: Callable[[], None]) -> Steps[Answer]:
        """The answer of whoever uses `runwatch approve`."""
        if self._read is None:
            return None
        until = time.monotonic() + self._wait_s
        told = False
        while True:
            standing = self._read(request.approval_id)
            if standing is not None and standing.mode == "allow":
                return True
            if standing is not None and standing.mode == "stop":
                raise self._denied(request, f"{standing.by} said no: {standing.why}", standing.scope)
            left = until - time.monotonic()
            if left <= 0:
                return None
            if not told:
                told = True
                LOGGER.warning(
                    "runwatch: a call of %s by run %s waits for its approval: runwatch approve %s",
                    request.tool, request.run_id, request.approval_id,
                )  # fmt: skip
            yield min(left, LOOK_S)
            check()

    def _required(self, request: ApprovalRequest, why: str = "") -> ApprovalRequired:
        refused = ApprovalRequired(
            f"Tool {request.tool!r} was not called: it writes, and agent {request.agent!r} needs a person's approval"
            f" for that{why}. `runwatch approve {request.approval_id}` gives it; then make the same call again.",
            stop_reason=reasons.APPROVAL_REQUIRED,
            run_id=request.run_id,
            tool=request.tool,
        )
        refused.approval_id = request.approval_id
        return refused

    def _denied(self, request: ApprovalRequest, why: str, scope: str | None = None) -> ToolDenied:
        return ToolDenied(
            f"Tool {request.tool!r} was not called: its approval ({request.approval_id}) was denied; {why}.",
            stop_reason=reasons.DENIED,
            run_id=request.run_id,
            tool=request.tool,
            scope=scope,
        )
