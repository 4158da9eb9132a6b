"""What `connect` gives: an agent's way to say what its runs do."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ..control.guardrails import Budgets
from ..schemas import reasons
from ..schemas.ids import uuid7
from . import fields
from .clock import Clock
from .current import current_run
from .guard.guard import Guard
from .guard.rules import Rules
from .notices import Notices
from .outside import Outside
from .run import Run
from .run_log import RunInfo, RunLog, agent_info
from .sender import Sender, close_all
from .tools import Decorator, make_decorator

EXIT_S = 5.0
"""How long the end of a process may take to deliver what is left."""


class Watch:
    """One agent, as `connect` introduced it. Threads may share it; a forked child goes on with its own queue.

    A context manager: leaving it closes it.
    """

    def __init__(
        self,
        info: RunInfo,
        labels: Any,
        sender: Sender,
        clock: Clock,
        notices: Notices,
        rules: Rules,
        first: Watch | None = None,
    ) -> None:
        """`info` is what all runs of this agent share; its `run_id` is not used.

        `first` is the watch that the sender and the rules belong to, where that is another.
        """
        self._info = info
        self._labels = labels
        self._sender = sender
        self._clock = clock
        self._notices = notices
        self._rules = rules
        self._outside = Outside(rules, info, clock)
        self._first = first
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        _WATCHES.add(self)
        if first is None:
            # One that is forgotten delivers what it holds and ends its threads.
            weakref.finalize(self, sender.retire).atexit = False
            weakref.finalize(self, rules.retire).atexit = False
            if rules.taker is not None:
                weakref.finalize(self, rules.taker.retire).atexit = False

    def agent(
        self,
        agent: str,
        version: str | None = None,
        model: str | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
    ) -> Watch:
        """Another agent in the same process, on the same connection, queue and counters.

        Its `close` stops its runs and delivers; the connection ends with the first one's.
        """
        info = agent_info(agent, version, model, self._info.parent_run_id)
        return Watch(info, labels, self._sender, self._clock, self._notices, self._rules, self._first or self)

    def run(
        self,
        run_id: str | None = None,
        *,
        prompt_sha: str | None = None,
        tools_sha: str | None = None,
        prompt: Any = None,
        tools: Any = None,
        parent_run_id: str | None = None,
        labels: Mapping[str, Any] | None = None,
        model: str | None = None,
        budgets: Budgets | None = None,
    ) -> Run:
        """Begins a run, and logs that. To be used in a `with`, or ended by its `stop`.

        `prompt` and `tools` are hashed here, in the place of their hashes. Within another run's `with`
        block, that run is the parent unless one is named. `budgets` take the place of the connection's.

        A process's first run waits until it is known what the control topic says, for two seconds at most.
        """
        self._rules.wait_loaded()
        shared = self._info
        if parent_run_id is None and shared.parent_run_id is None:
            outer = current_run()
            if outer is not None and not outer.stopped:
                parent_run_id = outer.run_id
        info = RunInfo(
            fields.text(run_id) or uuid7(self._clock.now_ms()),
            shared.agent,
            shared.agent_version,
            fields.text(model) or shared.model,
            fields.text(prompt_sha) or (None if prompt is None else fields.hashed(prompt)),
            fields.text(tools_sha) or (None if tools is None else fields.hashed(tools)),
            fields.text(parent_run_id) or shared.parent_run_id,
            fields.labels(self._labels, labels),
        )
        rules = self._rules
        log = RunLog(info, self._sender, self._clock, rules.outgoing)
        run = Run(log, self._clock, self._notices, Guard(rules, log, self._clock, budgets), self, rules.taker)
        self._runs.add(run)
        return run

    def tool(self, name: str | None = None, *, writes: bool | None = None) -> Decorator:
        """A decorator like `Run.tool`, for the run in whose `with` block the function is called.

        Called outside of any run, the function is called without being logged; what may not be done may not be
        done there either.
        """
        return make_decorator(name, writes, self._found_run, self._outside)

    def stats(self) -> dict[str, int]:
        """Events by what became of them, since the connection or the fork.

        `sent`: taken from the agent; of these `delivered`, `queued` (wait or are under way) or `failed`
        (do not fit the schema, or the topic refused them for good). `dropped`: not taken, since the queue
        was full or the watch closed; or taken, and lost from a full spool.
        """
        return self._sender.stats()

    def snapshot_stats(self) -> dict[str, int]:
        """The same of snapshots; all 0 where none are kept."""
        return dict.fromkeys(self._sender.stats(), 0) if self._rules.taker is None else self._rules.taker.stats()

    def spool_stats(self) -> dict[str, int]:
        """What is on disk; all 0 without a spool.

        `saved`: the first so many events that were put, in their order, outlive this process: they are on disk, or
        delivered. `synced`: the first so many outlive the machine too. `written`: events that were written;
        `waiting`: of these, not handed to Kafka's client yet; `dropped`: the oldest, for want of room; `bytes`: size
        of all files; `adopted`: spools of processes that ended, of which not all is sent.
        """
        return self._sender.kept()

    def room(self) -> float:
        """The part of the queue that is free, 0 to 1: for senders in bulk, who can wait."""
        return self._sender.room

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until all events and snapshots are delivered; False where `timeout` seconds were too short."""
        deadline = time.monotonic() + timeout
        done = self._sender.flush(timeout)
        return (self._rules.taker is None or self._rules.taker.flush(max(0.0, deadline - time.monotonic()))) and done

    def close(self, timeout: float | None = None) -> bool:
        """Stops the runs that are left as `cancelled`, delivers all events and snapshots, and ends the connection.

        False where not all could be delivered in `timeout` seconds; without one, `EXIT_S`, and less where the
        broker is known to be away.
        """
        self.stop_runs()
        _WATCHES.discard(self)
        seconds = EXIT_S if timeout is None else timeout
        if self._first:
            return self.flush(seconds)
        deadline = time.monotonic() + seconds
        taker = self._rules.taker
        try:
            done = self._sender.close(seconds, patient=timeout is not None)
            if taker is None:
                return done
            return taker.close(max(0.0, deadline - time.monotonic()), patient=timeout is not None) and done
        finally:
            self._rules.close()

    def stop_following(self) -> None:
        """Ends the following of the control topic; what was said last stays in force."""
        self._rules.close()

    def stop_runs(self) -> None:
        """Stops the runs that are left as `cancelled`."""
        for run in list(self._runs):
            run.stop(reasons.CANCELLED)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def after_fork(self) -> None:
        """See `RunLog.after_fork`, `Guard.after_fork`."""
        if self._first is None:
            self._rules.after_fork()
        for run in list(self._runs):
            run.after_fork()

    def _found_run(self) -> Run | None:
        run = current_run()
        if run is None:
            self._notices.tell(
                "outside",
                "a tool of agent %s was called outside of any run's `with` block, and is not logged.",
                self._info.agent,
            )
        return run


_WATCHES: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_fork() -> None:
    for watch in list(_WATCHES):
        watch.after_fork()


def _at_exit() -> None:
    for watch in list(_WATCHES):
        watch.stop_runs()
    close_all(EXIT_S)
    for watch in list(_WATCHES):
        watch.stop_following()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
