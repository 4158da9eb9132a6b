"""The events of one run: numbered, totalled, and handed to the sender in order. Never raises."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace

from ..control.outgoing import Outgoing
from ..schemas.events import AgentEvent, Kind, Status
from ..schemas.ids import uuid7
from . import fields
from .clock import Clock
from .sender import Sender
from .usage import StopReport, Usage

EVERYTHING = Outgoing()
MOST_REFUSED = 100
"""Refusals that are logged after a run's end: an agent that does not heed them may try without end."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What every event of a run says of it."""

    run_id: str
    agent: str
    agent_version: str | None = None
    model: str | None = None
    prompt_sha: str | None = None
    tools_sha: str | None = None
    parent_run_id: str | None = None
    labels: str | None = None


def agent_info(agent: str, version: str | None, model: str | None, parent_run_id: str | None) -> RunInfo:
    """What all runs of an agent share."""
    return RunInfo(
        run_id="",
        agent=fields.text(agent) or "unnamed",
        agent_version=fields.text(version),
        model=fields.text(model),
        parent_run_id=fields.text(parent_run_id),
    )


class RunLog:
    """Writes a run's events. Fields must fit the event's already (see `fields`)."""

    def __init__(self, info: RunInfo, sender: Sender, clock: Clock, outgoing: Outgoing = EVERYTHING) -> None:
        """Logs the run's start."""
        self.info = info
        self._outgoing = outgoing
        self._sender = sender
        self._clock = clock
        self._begin()
        self._start()

    def _begin(self) -> None:
        # Reentrant: the collector may end a forgotten run in the middle of anything.
        self._lock = threading.RLock()
        self._seq = 0
        self._steps = itertools.count(1)
        self.usage = Usage()
        self.refused = 0
        """Calls that were refused."""
        self._refused_late = 0
        self._began = self._clock.monotonic()
        self.report: StopReport | None = None

    def _start(self) -> None:
        self._put(self._event("run_start"))

    def next_step(self) -> str:
        """A name for the next step: s1, s2, ... in the order in which steps begin."""
        return f"s{next(self._steps)}"

    def tool(
        self,
        tool: str,
        step_id: str,
        args_sha: str | None,
        result_sha: str | None,
        duration_ms: int | None,
        status: Status,
        error: str | None,
        attempt: int | None,
        http_status: int | None,
    ) -> None:
        """Logs a tool call that is done."""
        info = self.info
        # In one go, since it is done for every call: `_event` and a setting of each field take three times as long.
        event = AgentEvent(
            "",
            info.run_id,
            0,
            "tool_result",
            self._clock.now_ms(),
            info.agent,
            info.parent_run_id,
            info.agent_version,
            info.model,
            info.prompt_sha,
            info.tools_sha,
            step_id,
            tool,
            args_sha,
            result_sha,
            duration_ms,
            status,
            error,
            attempt,
            http_status,
            None,
            None,
            None,
            None,
            None,
            None,
            info.labels,
        )
        with self._lock:
            self.usage.tool_calls += 1
            if self._seq and self._outgoing.events:  # as `_put`, once more for the sake of every call
                event.seq = self._seq
                self._seq += 1
                self._sender.put(event)
            else:
                self._put(event)

    def model(
        self,
        step_id: str,
        model: str | None,
        duration_ms: int | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cost_usd: float | None,
        status: Status,
        error: str | None,
        http_status: int | None,
    ) -> None:
        """Logs a model call that is done. `model` where it was another than the run's."""
        event = self._event("model_result")
        event.step_id = step_id
        event.model = model or event.model
        event.duration_ms = duration_ms
        event.input_tokens = input_tokens
        event.output_tokens = output_tokens
        event.cost_usd = cost_usd
        event.status = status
        event.error = error
        event.http_status = http_status
        with self._lock:
            self.usage.add_model_call(input_tokens, output_tokens, cost_usd)
            self._put(event)

    def tool_refused(
        self, tool: str, step_id: str, args_sha: str | None, error: str, attempt: int | None, stop_reason: str
    ) -> None:
        """Logs a tool call that was not made. It is none of the run's `tool_calls`."""
        event = self._event("tool_result")
        event.tool = tool
        event.step_id = step_id
        event.args_sha = args_sha
        event.attempt = attempt
        self._put_refusal(event, error, stop_reason)

    def model_refused(self, step_id: str, model: str | None, error: str, stop_reason: str) -> None:
        """Logs a model call that was not made. `model` where it was another than the run's."""
        event = self._event("model_result")
        event.step_id = step_id
        event.model = model or event.model
        self._put_refusal(event, error, stop_reason)

    def stop(self, reason: str, outcome: float | None) -> StopReport:
        """Logs the run's end, once; the first call's answer, again, to every later one."""
        with self._lock:
            if self.report is None:
                usage = self.usage
                self.report = {"status": "stopped", "stop_reason": reason, "usage": usage.report()}
                # Nothing of a run that a fork left behind untouched.
                if self._seq:
                    event = self._event("stop")
                    event.stop_reason = reason
                    event.outcome = outcome
                    event.duration_ms = self.elapsed_ms(self._began)
                    event.tool_calls = usage.tool_calls
                    event.input_tokens = usage.input_tokens
                    event.output_tokens = usage.output_tokens
                    event.cost_usd = usage.cost_usd
                    self._put(event)
            return {**self.report, "usage": self.report["usage"].copy()}

    def elapsed_ms(self, since: float) -> int:
        """Whole milliseconds since an earlier reading of the clock's `monotonic`."""
        return max(0, round((self._clock.monotonic() - since) * 1000))

    def after_fork(self) -> None:
        """The same run in a forked child becomes a run of its own, begun by the parent's.

        Two processes cannot number one run's events. It begins with the child's first step, and if there
        is none, nothing is logged.
        """
        self.info = replace(self.info, run_id=uuid7(self._clock.now_ms()), parent_run_id=self.info.run_id)
        self._begin()

    def _event(self, kind: Kind) -> AgentEvent:
        """An event that happens now; its place in the run is given when it is put, its id when it is sent."""
        info = self.info
        now_ms = self._clock.now_ms()
        return AgentEvent(
            "",
            info.run_id,
            0,
            kind,
            now_ms,
            info.agent,
            info.parent_run_id,
            info.agent_version,
            info.model,
            info.prompt_sha,
            info.tools_sha,
            labels=info.labels,
        )

    def _put_refusal(self, event: AgentEvent, error: str, stop_reason: str) -> None:
        event.duration_ms = 0
        event.status = "error"
        event.error = error
        event.stop_reason = stop_reason
        with self._lock:
            self.refused += 1
            if self.report is not None:
                self._refused_late += 1
            if self._refused_late <= MOST_REFUSED and self._outgoing.refusals:
                self._put(event)

    def _put(self, event: AgentEvent) -> None:
        if not self._outgoing.events:
            return
        # Numbered and queued in one go: the topic's order of a run is the order of `seq`.
        with self._lock:
            if not self._seq and event.kind != "run_start":
                self._start()
            event.seq = self._seq
            self._seq += 1
            self._sender.put(event)
