"""Writes that wait for a person: calls that were refused for want of an approval, and that nobody has answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .scopes import approval_id, approval_scope
from .state import ControlState


@dataclass(frozen=True, slots=True)
class Waiting:
    """One write that waits."""

    approval: str
    """Its id; the scope that answers it is `approval:ID`."""
    since: datetime
    agent: str
    tool: str
    args_sha: str | None
    run_id: str


def waiting(calls: Iterable[Mapping[str, Any]], state: ControlState, now_ms: int) -> list[Waiting]:
    """Those of the refused calls that no command in force answers, in the order in which they are given.

    A call is a mapping with `run_id`, `agent`, `tool`, `args_sha` and `since`, as `Reader.unapproved` has them.
    """
    found = []
    for call in calls:
        approval = approval_id(call["run_id"], call["tool"], call["args_sha"])
        if state.standing(approval_scope(approval), now_ms) is None:
            found.append(
                Waiting(approval, call["since"], call["agent"], call["tool"], call["args_sha"], call["run_id"])
            )
    return found
