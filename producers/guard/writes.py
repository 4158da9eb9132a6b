"""A run's writes: each asked for, approved and done once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ...control.scopes import approval_id
from ...schemas.canonical import is_exact, sha
from ...schemas.ids import derived_hex
from .approvals import ApprovalRequest, Approvals
from .ledger import Entry, Ledger, Unsure, doing
from .policy import Ruling
from .refusals import ToolDenied, denied
from .rules import Logged, Rules
from .switch import Switch
from .waiting import Steps


class Write:
    """A call that writes, and may be made as far as policy and kill switch go."""

    __slots__ = ("entry", "has_begun", "key", "needs_approval", "request")

    def __init__(self, key: str | None, needs_approval: bool, request: ApprovalRequest) -> None:
        self.key = key
        """By which the same write is known; None where nothing tells."""
        self.needs_approval = needs_approval
        self.request = request
        self.entry: Entry | None = None
        """Once it is this call that does it."""
        self.has_begun = False


class Writes:
    """Takes writes from being wanted to being done. Threads and tasks may use it at once."""

    def __init__(self, rules: Rules, log: Logged, switch: Switch | None) -> None:
        self._rules = rules
        self._log = log
        self._approvals = Approvals(
            rules.approve, rules.guardrails.writes.approval_wait, switch.approval if switch else None
        )
        self._made: Ledger | None = None
        self._lock = threading.Lock()

    def wanted(
        self, tool: str, ruling: Ruling, args: Any, args_sha: str | None, step_id: str, idempotency_key: object
    ) -> Write:
        """A call that policy and kill switch let through."""
        info = self._log.info
        exact = args_sha is not None and is_exact(args)
        key = None
        if ruling.idempotent:
            if idempotency_key is not None:
                key = derived_hex("key", tool, sha(idempotency_key))
            elif exact:
                key = derived_hex("args", tool, args_sha)
            else:
                self._rules.notices.tell(
                    "inexact",
                    "calls of %s cannot be told from one another by their arguments, so that the same write may be done"
                    " twice. Give them an idempotency_key.",
                    tool,
                )
        # One approval is for one set of arguments: where a hash cannot tell them apart, it is for this step alone.
        approval = approval_id(info.run_id, tool, args_sha if exact else f"{args_sha}/{step_id}")
        request = ApprovalRequest(approval, info.run_id, info.agent, tool, args, args_sha)
        return Write(key, ruling.needs_approval, request)

    def settle(self, write: Write, awaited: bool, recheck: Callable[[str], None]) -> Steps[Entry | None]:
        """Steps up to where the write may be done: None, and then call `done` or `failed`; or its entry, if it is done.

        `awaited`: its result is for `await`. `recheck` raises what there is against a tool's writes, after one had to
        wait. Raise `RunStopped`, `ToolDenied` or `ApprovalRequired`.
        """
        tool, ledger = write.request.tool, self._ledger()
        while write.key is not None:
            try:
                entry, over = ledger.claim(write.key, awaited)
            except Unsure as unsure:
                raise self._unsure(tool, unsure) from unsure
            if over is None:
                if entry is not None and entry.done:
                    return entry
                write.entry = entry
                break
            yield over
            recheck(tool)
        try:
            if write.needs_approval:
                yield from self._approvals.ask(write.request, lambda: recheck(tool))
            if write.entry is not None:
                ledger.begin(write.entry)
                write.has_begun = True
        except Unsure as unsure:
            self.failed(write)
            raise self._unsure(tool, unsure) from unsure
        except BaseException:
            self.failed(write)
            raise
        return None

    def known(self, write: Write) -> Entry | None:
        """What is known of the same write, done or under way."""
        return None if write.key is None else self._ledger().known(write.key)

    def doing(self, write: Write) -> AbstractContextManager[None]:
        """The code within is the write itself."""
        return nullcontext() if write.entry is None else doing(write.entry)

    def goes_on(self, write: Write) -> None:
        """The write is under way, and its result for `await`."""
        if write.entry is not None:
            write.entry.awaited = True

    def done(self, write: Write, result: Any) -> None:
        """The write is done."""
        if write.entry is not None:
            self._ledger().done(write.entry, result)

    def failed(self, write: Write) -> None:
        """The write failed, or was not made."""
        if write.entry is not None:
            self._ledger().failed(write.entry, was_begun=write.has_begun)

    def after_fork(self) -> None:
        """See `Ledger.after_fork`."""
        self._lock = threading.Lock()
        if self._made is not None:
            self._made.after_fork(self._log.info.run_id)

    def _ledger(self) -> Ledger:
        # Most runs write nothing.
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = Ledger(self._log.info.run_id, self._rules.store, self._rules.notices)
        return self._made

    def _unsure(self, tool: str, unsure: Unsure) -> ToolDenied:
        return denied(
            self._log.info.run_id,
            tool,
            f"whether this write was done before is not sure: {unsure}. See whether it was; with another"
            " idempotency_key it is done anew",
        )
