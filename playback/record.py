"""One recorded run: its events, and what is known of its payloads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..schemas import reasons
from ..schemas.canonical import sha
from ..schemas.events import AgentEvent

ALREADY_DONE = "AlreadyDone"
"""The error class of a write that was answered with the result of the first one."""

_STEP = re.compile(r"s(\d+)")


@dataclass(frozen=True, slots=True)
class Content:
    """A payload whose content is known, whole or in part."""

    value: Any
    """As JSON has it."""
    redacted: Mapping[str, int] = field(default_factory=dict)
    """Kind → how many were taken out; `[kind]` stands in their place."""
    truncated: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is the payload as it was."""
        return not self.redacted and not self.truncated


# What anyone can tell from its hash.
_GUESSED: tuple[Any, ...] = (None, True, False, "", [], {}, 0, 1)
_PLAIN = {sha(value): Content(value) for value in _GUESSED}


@dataclass(frozen=True)
class Record:
    """A run as it is on record."""

    run_id: str
    events: Sequence[AgentEvent]
    """In the order of `seq`."""
    contents: Mapping[str, Content] = field(default_factory=dict)
    """Hash → what is known of that payload."""
    sealed: int = 0
    """Payloads that are stored but could not be opened, for want of the key or for being changed."""

    def content(self, digest: str | None) -> Content | None:
        """What is known of the payload of that hash."""
        if digest is None:
            return None
        return self.contents.get(digest) or _PLAIN.get(digest)

    @property
    def calls(self) -> list[AgentEvent]:
        """The tool calls in the order in which they began, as far as their steps tell; else as they ended."""
        calls = [event for event in self.events if event.kind == "tool_result"]
        steps = [_STEP.fullmatch(call.step_id or "") for call in calls]
        numbers = [int(step[1]) for step in steps if step is not None]
        if len(set(numbers)) == len(calls):
            return [call for _, call in sorted(zip(numbers, calls, strict=True), key=lambda pair: pair[0])]
        return calls

    @property
    def missing_events(self) -> int:
        """Places in the run's `seq`, up to the last one, that no event took."""
        return max((event.seq for event in self.events), default=-1) + 1 - len({event.seq for event in self.events})

    def parts(self) -> dict[str, int]:
        """How much of it is there: results known, in part or by hash alone; the same of arguments; what is missing."""
        out = dict.fromkeys(("results", "results_redacted", "results_unknown"), 0)
        out |= dict.fromkeys(("args", "args_redacted", "args_unknown"), 0)
        for call in self.calls:
            for name, digest in (("args", call.args_sha), ("results", call.result_sha)):
                if digest is None and (name == "results" and call.status == "error"):
                    continue
                content = self.content(digest)
                out[name] += 1
                if content is None:
                    out[f"{name}_unknown"] += 1
                elif not content.is_whole:
                    out[f"{name}_redacted"] += 1
        return {"calls": len(self.calls), **out, "sealed": self.sealed, "missing_events": self.missing_events}


def is_refusal(call: AgentEvent) -> bool:
    """Whether the tool was not called: the guard refused, or answered from memory."""
    return (call.status == "error" and call.stop_reason in reasons.REFUSALS) or call.error == ALREADY_DONE


def content_of(text: str, digest: str, redacted: Mapping[str, int], truncated: bool) -> Content:
    """The content in a snapshot's JSON. Raises `ValueError` where it is none."""
    value = json.loads(text)
    # What was taken out and put back under the same hash is whole, whatever was counted.
    whole = not redacted and not truncated and sha(value) == digest
    return Content(value) if whole else Content(value, dict(redacted), truncated or not redacted)
