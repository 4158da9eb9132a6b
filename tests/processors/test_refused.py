"""Calls that were refused are steps of their run, and nothing that tools did."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.processors.refused import REFUSED, refusals, set_apart
from runwatch.processors.rules import Rules
from runwatch.processors.watch import EventWatch
from runwatch.schemas.reasons import REFUSALS
from runwatch.schemas.registry import LocalRegistry

from .support import T0, columns, event, frame, message


def refused(run: str = "r", seq: int = 0, reason: str = "denied", **given: Any) -> dict[str, Any]:
    """A call that the guard did not let be made, as agents tell of it."""
    said = {"status": "error", "error": "ToolDenied", "duration_ms": 0, "result_sha": None, "stop_reason": reason}
    return event(run, seq, **(said | {"args_sha": "same"} | given))


def kinds(*events: dict[str, Any]) -> list[str]:
    return set_apart(columns(events))["kind"].to_list()


def test_they_are_told_by_their_reason() -> None:
    assert [REFUSED] * len(REFUSALS) == kinds(*(refused(reason=reason) for reason in sorted(REFUSALS)))
    assert [REFUSED, "model_result"] == kinds(
        event(kind="model_result", stop_reason="max_cost", status="error"), event(kind="model_result")
    )


def test_what_was_made_is_not_set_apart() -> None:
    # A run that ends for such a reason, a reason of the user's own, a call that just failed.
    events = [
        event(kind="stop", stop_reason="max_steps"),
        event(stop_reason="mine"),
        event(status="error"),
        event(kind="run_start", stop_reason="denied"),
    ]
    assert [one["kind"] for one in events] == kinds(*events)
    assert refusals(columns(events)) is None
    assert refusals(columns([event()])) is None


@pytest.mark.parametrize("reason", ["denied", "killed"])
def test_an_agent_that_hammers_a_denied_tool_loops(reason: str) -> None:
    watch = EventWatch(LocalRegistry(), Rules())
    calls = [message(refused(seq=seq, reason=reason)) for seq in range(20)]
    found = watch.take(frame(calls)).anomalies
    assert {"loop.repeat", "loop.failing"} & {one.rule for one in found}
    (part,) = [part for part in watch.parts(0, T0) if part["tool"] is None]
    counted = ("events", "tool_calls", "tool_errors", "retries", "call_ms_counts")
    assert [20, 0, 0, 0, []] == [part[name] for name in counted]
