"""Window parts → whole windows: what the partitions tallied of one agent, added up.

A window is judged once, when no partition that still speaks of the agent can add to it: each says how far
it has come (its watermark). A partition that has been silent about the agent for `quiet` is not waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from . import sketch
from .section import Duration, Section
from .windows import METRICS, SUMS

Source = tuple[int, int, str | None, str | None]
"""Partition, stretch of log time, agent version, model: what tells two agent parts of a window apart."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one agent, whole."""

    start_ms: int
    end_ms: int
    sums: Mapping[str, float]
    """`windows.SUMS`, added."""
    sketches: Mapping[str, Mapping[int, int]]
    """`windows.METRICS`: bucket key → count."""
    stop_reasons: Mapping[str, int]


@dataclass(slots=True)
class _Agent:
    parts: dict[int, dict[Source, Mapping[str, Any]]] = field(default_factory=dict)
    """Window start → its parts."""
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition → its watermark (event time), and when it was last heard of (log time)."""
    judged_ms: int = -1
    """Start of the last window that was handed out."""


class MergeRules(Section):
    """How long a window is waited for before it is judged."""

    grace: Duration = Field(10_000, ge=0, description="How long after a window's end, by event time, it is judged.")
    quiet: Duration = Field(
        5_000, ge=100, description="A partition that was silent about an agent for so long is not waited for."
    )
    ahead: Duration = Field(
        86_400_000,
        ge=0,
        description="A window that ends so far ahead of the log waits: judged, it would make all before it late.",
    )
    most_windows: int = Field(
        240, ge=1, description="Windows that an agent may have waiting; beyond it the oldest is judged as it is."
    )
    stretch: Duration = Field(
        3_600_000,
        ge=60_000,
        le=86_400_000,
        description="Stretch of log time by which windows are replayed when a worker starts: one to two of them.",
    )


class Merger:
    """Collects window parts; hands out whole windows, each agent's in order."""

    def __init__(self, rules: MergeRules) -> None:
        self.rules = rules
        self._agents: dict[str, _Agent] = {}
        self.late = 0
        """Parts that came after their window was handed out."""

    def add(self, part: Mapping[str, Any], log_ms: int) -> None:
        """Takes an agent's own part (`tool` is null), a record of `window_part.avsc` with times in milliseconds."""
        agent = self._agents.setdefault(part["agent"], _Agent())
        partition = part["source_partition"]
        mark, heard = agent.marks.get(partition, (0, 0))
        agent.marks[partition] = (max(mark, part["watermark_ms"]), max(heard, log_ms))
        start = part["window_start_ms"]
        if start <= agent.judged_ms:
            self.late += 1
            return
        source = (partition, part["slot_ms"], part["agent_version"], part["model"])
        sources = agent.parts.setdefault(start, {})
        if source not in sources or sources[source]["version"] <= part["version"]:
            sources[source] = part

    def ready(self, log_ms: int) -> list[tuple[str, Window]]:
        """Windows that are whole by now (log time), each agent's oldest first, and forgets them."""
        out: list[tuple[str, Window]] = []
        for name in list(self._agents):
            agent = self._agents[name]
            # Without a mark (0) a partition's events have told no time that can be: it is not waited for either.
            speaking = [mark for mark, heard in agent.marks.values() if mark and heard >= log_ms - self.rules.quiet]
            through = min([*speaking, log_ms + self.rules.ahead]) - self.rules.grace
            starts = sorted(agent.parts)
            for place, start in enumerate(starts):
                parts = agent.parts[start].values()
                end_ms = start + next(iter(parts))["window_ms"]
                if end_ms > through and len(starts) - place <= self.rules.most_windows:
                    break
                out.append((name, _merged(start, end_ms, list(parts))))
                del agent.parts[start]
                agent.judged_ms = start
        return out


def _merged(start_ms: int, end_ms: int, parts: Sequence[Mapping[str, Any]]) -> Window:
    """The sum of parts of one window."""
    reasons: dict[str, int] = {}
    for part in parts:
        for reason, count in zip(part["stop_reasons"], part["stop_reason_counts"], strict=True):
            reasons[reason] = reasons.get(reason, 0) + count
    return Window(
        start_ms=start_ms,
        end_ms=end_ms,
        sums={name: sum(part[name] for part in parts) for name in SUMS},
        sketches={
            name: sketch.merge(dict(zip(part[name + "_keys"], part[name + "_counts"], strict=True)) for part in parts)
            for name in METRICS
        },
        stop_reasons=reasons,
    )
