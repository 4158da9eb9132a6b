"""Fleet parts → whole windows of the fleet, in order.

A window is whole when no partition that still speaks can add to it, some time after its first part came. A partition
that has been silent for `quiet` is not waited for. Parts add up in any order; of two with the same identity the one
with the higher version holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import sample
from .parts import Identity, identity
from .rules import FleetRules


@dataclass(frozen=True, slots=True)
class Hits:
    """Calls of a tool, those that something was the matter with, and the runs that these belong to."""

    calls: int
    hits: int
    runs: sample.Runs


@dataclass(frozen=True, slots=True)
class Failing:
    """A call that failed: the same tool with the same arguments."""

    calls: int
    failures: int
    runs: sample.Runs
    named: sample.Runs
    """Hash → id of a few of the runs."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Child:
    """A run that another started."""

    run_id: str
    parent: str
    agent: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class FleetWindow:
    """One window of the whole fleet."""

    start_ms: int
    end_ms: int
    retries: Mapping[str, Hits] = field(default_factory=dict)
    """Tool → its calls that are retries, or were answered 429 or 5xx."""
    timeouts: Mapping[str, Hits] = field(default_factory=dict)
    """Tool → its calls that timed out."""
    failing: Mapping[tuple[str, str], Failing] = field(default_factory=dict)
    """Tool and arguments → the calls, of those that failed."""
    children: tuple[Child, ...] = ()
    """Runs that began in the window and have a parent."""


class FleetMerger:
    """Collects the parts of all partitions; hands out whole windows, the oldest first."""

    def __init__(self, rules: FleetRules) -> None:
        self.rules = rules
        self._parts: dict[int, dict[Identity, Mapping[str, Any]]] = {}
        # Partition → its watermark (event time), and when it was last heard of (log time).
        self._marks: dict[int, tuple[int, int]] = {}
        self._judged_ms = -1
        # When a partition was heard of that is new, or was silent (log time).
        self._newcomer_ms = -(2**62)
        # Window → when its first part came (log time).
        self._heard_ms: dict[int, int] = {}
        self.late = 0
        """Parts that came after their window was handed out."""
        self.wild = 0
        """Windows far ahead of the log that were thrown away, since there were too many."""

    def add(self, part: Mapping[str, Any], log_ms: int) -> None:
        """Takes a record of `fleet_part.avsc`, with times in milliseconds, that was appended at that log time."""
        partition = part["source_partition"]
        mark, heard = self._marks.get(partition, (0, -(2**62)))
        if heard < log_ms - self.rules.quiet:
            self._newcomer_ms = log_ms
        self._marks[partition] = (max(mark, part["watermark_ms"]), max(heard, log_ms))
        start = part["window_start_ms"]
        if start <= self._judged_ms:
            self.late += 1
            return
        parts = self._parts.setdefault(start, {})
        self._heard_ms.setdefault(start, log_ms)
        key = identity(part)
        if key not in parts or parts[key]["version"] <= part["version"]:
            parts[key] = part

    def ready(self, log_ms: int) -> list[FleetWindow]:
        """The windows that are whole by now (log time), and forgets them."""
        speaking = [mark for mark, heard in self._marks.values() if mark and heard >= log_ms - self.rules.quiet]
        # A window that lies ahead of the log waits: judged, it would make all before it late.
        through = min([*speaking, log_ms + self.rules.skew]) - self.rules.grace
        starts = sorted(self._parts)
        while len(starts) > self.rules.most_windows and starts[-1] > log_ms + self.rules.skew:
            # Clocks that jump tell of any number of such windows.
            self._drop(starts.pop())
            self.wild += 1
        out: list[FleetWindow] = []
        for place, start in enumerate(starts):
            # Partitions take turns to send: where one is new, or was silent, others may be too and about to send.
            settled = max(self._heard_ms[start], self._newcomer_ms) + self.rules.settle <= log_ms
            # Of too many, the oldest are judged as they are.
            if len(starts) - place <= self.rules.most_windows and not (
                settled and start + self.rules.window <= through
            ):
                break
            out.append(self._take(start))
        return out

    def until(self, through_ms: int) -> list[FleetWindow]:
        """The windows that end by then, and forgets them: for a history of which all parts are there."""
        return [self._take(start) for start in sorted(self._parts) if start + self.rules.window <= through_ms]

    def _take(self, start_ms: int) -> FleetWindow:
        self._judged_ms = start_ms
        return _merged(start_ms, start_ms + self.rules.window, self._drop(start_ms).values())

    def _drop(self, start_ms: int) -> dict[Identity, Mapping[str, Any]]:
        del self._heard_ms[start_ms]
        return self._parts.pop(start_ms)


def _merged(start_ms: int, end_ms: int, parts: Iterable[Mapping[str, Any]]) -> FleetWindow:
    tools: dict[str, list[Mapping[str, Any]]] = {}
    calls: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    children: set[Child] = set()
    for part in parts:
        if part["tool"] is None:
            columns = (part[name] for name in ("child_runs", "child_parents", "child_agents", "child_starts_ms"))
            children.update(Child(*edge) for edge in zip(*columns, strict=True))
        elif part["args_sha"] is None:
            tools.setdefault(part["tool"], []).append(part)
        else:
            calls.setdefault((part["tool"], part["args_sha"]), []).append(part)
    return FleetWindow(
        start_ms,
        end_ms,
        retries={tool: _hits(some, "storm", "runs", "run_agents") for tool, some in sorted(tools.items())},
        timeouts={
            tool: _hits(some, "timeouts", "timeout_runs", "timeout_agents") for tool, some in sorted(tools.items())
        },
        failing={call: _failing(some) for call, some in sorted(calls.items())},
        children=tuple(sorted(children, key=lambda one: (one.start_ms, one.run_id))),
    )


def _hits(parts: list[Mapping[str, Any]], hits: str, runs: str, agents: str) -> Hits:
    return Hits(sum(part["calls"] for part in parts), sum(part[hits] for part in parts), _runs(parts, runs, agents))


def _failing(parts: list[Mapping[str, Any]]) -> Failing:
    return Failing(
        calls=sum(part["calls"] for part in parts),
        failures=sum(part["errors"] for part in parts),
        runs=_runs(parts, "runs", "run_agents"),
        # Ids stand in the order of the runs' hashes, and only the first have one.
        named=sample.examples(dict(zip(part["runs"], part["run_ids"], strict=False)) for part in parts),
        error=min((part["error"] for part in parts if part["error"]), default=None),
    )


def _runs(parts: list[Mapping[str, Any]], runs: str, agents: str) -> sample.Runs:
    return sample.union(dict(zip(part[runs], part[agents], strict=True)) for part in parts)
