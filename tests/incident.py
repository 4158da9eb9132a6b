"""An hour and three quarters of a small fleet, with an incident of each kind, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

START_MS = 1_772_366_400_000
"""2026-03-01 12:00 UTC."""
MINUTE = 60_000
MINUTES = 105
DRIFT = range(60, 85)
"""Minutes in which the agent takes three times its calls."""
OUTAGE = range(40, 50)
"""Minutes in which one call fails for every run of another agent."""
LOOPING = 20
"""Minute in which a run repeats itself."""

SEEN = {"drift.tool_calls_per_run", "fleet.failing", "loop.repeat"}
"""Rules that say something of it, among others."""


def incident(agent: str = "shop", seed: int = 7) -> list[dict[str, Any]]:
    """Its events as JSON objects. The agents' names, and the runs', begin with `agent`."""
    random = Random(seed)
    events = [
        event
        for minute in range(MINUTES)
        for number in range(8)
        for event in _run(f"{agent}-{minute}-{number}", agent, minute, random)
    ]
    events += [
        event
        for minute in range(MINUTES)
        for number in range(3)
        for event in _paying(f"{agent}-pay-{minute}-{number}", f"{agent}-pay", minute, random)
    ]
    looping = f"{agent}-looping"
    events += [
        _event(looping, seq, agent, LOOPING * MINUTE + 1000 * seq, "tool_result", tool="search", args={"q": "x"},
               result="nothing", status="ok")
        for seq in range(8)
    ]  # fmt: skip
    return sorted(events, key=lambda one: one["ts_ms"])


def slices(events: list[dict[str, Any]], length_ms: int) -> list[list[dict[str, Any]]]:
    """The events of each stretch of so many milliseconds, from the start on."""
    found: list[list[dict[str, Any]]] = [[] for _ in range(1 + (events[-1]["ts_ms"] - START_MS) // length_ms)]
    for one in events:
        found[(one["ts_ms"] - START_MS) // length_ms].append(one)
    return found


def _event(run: str, seq: int, agent: str, at_ms: int, kind: str, **given: Any) -> dict[str, Any]:
    return {"run_id": run, "seq": seq, "kind": kind, "ts_ms": START_MS + at_ms, "agent": agent, **given}


def _run(run: str, agent: str, minute: int, random: Random) -> Iterator[dict[str, Any]]:
    """A run of some five calls, or of three times as many."""
    calls = random.choice((4, 5, 5, 6)) * (3 if minute in DRIFT else 1)
    at = minute * MINUTE + random.randrange(20_000)
    yield _event(run, 0, agent, at, "run_start")
    for seq in range(1, calls + 1):
        at += random.randrange(500, 1_500)
        yield _event(run, seq, agent, at, "tool_result", tool=random.choice(("search", "read")), args=[run, seq],
                     result=random.random(), status="ok", duration_ms=random.randrange(50, 400))  # fmt: skip
    at += 500
    usage = {"tool_calls": calls, "cost_usd": 0.01}
    yield _event(run, calls + 1, agent, at, "stop", stop_reason="success", outcome=1.0, duration_ms=at, usage=usage)


def _paying(run: str, agent: str, minute: int, random: Random) -> Iterator[dict[str, Any]]:
    """A run that makes the same call as every other."""
    at = minute * MINUTE + random.randrange(40_000)
    failing = {"status": "error", "error": "HTTPError", "http_status": 500} if minute in OUTAGE else {"status": "ok"}
    yield _event(run, 0, agent, at, "run_start")
    yield _event(run, 1, agent, at + 700, "tool_result", tool="pay", args={"to": "bank"}, duration_ms=90, **failing)
    usage = {"tool_calls": 1}
    yield _event(run, 2, agent, at + 900, "stop", stop_reason="success", duration_ms=900, usage=usage)
