"""Parts and windows of a fleet to test with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from runwatch.processors.fleet.merge import Child, Failing, FleetMerger, FleetWindow, Hits
from runwatch.processors.fleet.parts import EMPTY
from runwatch.processors.fleet.rules import FleetRules
from runwatch.processors.fleet.tally import FleetTally

from .support import T0, columns, event

MINUTE = 60_000
STRETCH = 300_000
W0 = T0 // MINUTE * MINUTE
"""Start of the window in which `T0` lies."""
AFTERWARDS = 2**53


def call(run: str, at_ms: int, seq: int = 0, **given: Any) -> dict[str, Any]:
    """A tool call `at_ms` after `T0`."""
    return event(run, seq, ts_ms=T0 + at_ms, **given)


def failure(run: str, at_ms: int, seq: int = 0, **given: Any) -> dict[str, Any]:
    """A call of `t` with the arguments `bad`, which failed."""
    return call(run, at_ms, seq, **({"args_sha": "bad", "status": "error", "error": "E", "result_sha": None} | given))


def start(run: str, parent: str | None, at_ms: int, agent: str) -> dict[str, Any]:
    """A run's start `at_ms` after `T0`."""
    return event(run, 0, "run_start", ts_ms=T0 + at_ms, parent_run_id=parent, agent=agent)


def part(window: int = 0, partition: int = 0, **given: Any) -> dict[str, Any]:
    """A part of the window so many after `W0`, of a partition that has passed it, unless told otherwise."""
    begin = W0 + window * MINUTE
    return {
        **EMPTY,
        "window_start_ms": begin,
        "source_partition": partition,
        "slot_ms": W0,
        "window_ms": MINUTE,
        "version": 1,
        "watermark_ms": begin + MINUTE + FleetRules().grace,
        **given,
    }


def tallied(
    events: Iterable[dict[str, Any]], rules: FleetRules | None = None, partition: int = 0, cuts: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """The parts that a partition tells of these events, which came in frames that begin at these places."""
    all_of_them = list(events)
    tally = FleetTally(partition, rules or FleetRules(), STRETCH)
    places = sorted({0, len(all_of_them), *(cut for cut in cuts if cut < len(all_of_them))})
    for begin, end in pairwise(places):
        tally.add(columns(all_of_them[begin:end]), T0, end)
    return tally.parts(T0, over_ms=T0 + STRETCH)


def merged(parts: Iterable[dict[str, Any]], rules: FleetRules | None = None) -> list[FleetWindow]:
    """The windows of these parts."""
    merger = FleetMerger(rules or FleetRules())
    for one in parts:
        merger.add(one, T0)
    return merger.until(AFTERWARDS)


def window(number: int = 0, **given: Any) -> FleetWindow:
    """The window so many after `W0`."""
    begin = W0 + number * MINUTE
    return FleetWindow(begin, begin + MINUTE, **given)


def runs(count: int, first: int = 0, agents: int = 1) -> dict[int, str]:
    """A set of runs of some agents."""
    return {number: f"agent-{number % agents}" for number in range(first, first + count)}


def failing(count: int, first: int = 0, agents: int = 1, worked: int = 0) -> dict[tuple[str, str], Failing]:
    """A call that failed once for so many runs, and worked so often."""
    hit = runs(count, first, agents)
    ids = {number: f"run-{number}" for number in list(hit)[:3]}
    return {("http.get", "a1"): Failing(count + worked, count, hit, ids, "HTTPStatusError")}


def hits(calls: int, hit: int, count: int = 0, first: int = 0) -> dict[str, Hits]:
    """Calls of a tool, of which some had trouble, in so many runs."""
    return {"http.get": Hits(calls, hit, runs(count, first))}


def chain(*agents: str, every_ms: int = 1000, first_ms: int = 0, name: str = "c") -> tuple[Child, ...]:
    """Runs of these agents, each started by the one before; the first by a run that is not known."""
    return tuple(
        Child(f"{name}{number}", f"{name}{number - 1}", agent, W0 + first_ms + number * every_ms)
        for number, agent in enumerate(agents)
    )
