"""Window parts → whole windows: what the partitions tallied of one agent, added up.

A window is judged once, when no partition that still speaks of the agent can add to it: each says how far
it has come (its watermark). A partition that has been silent about the agent for `quiet` is not waited for.
What was tallied of its tools comes a little later, since partitions send that only once a window is over.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import Field

from ..settings.section import Duration, Section
from . import sketch
from .windows import METRICS, SUMS

Source = tuple[int, int, str | None, str | None]
"""Partition, stretch of log time, agent version, model: what tells two agent parts of a window apart."""
TOOL_SUMS = ("tool_calls", "tool_errors", "retries", "rate_limited")
TOOL_SKETCHES = ("call_ms",)
TOOL_COLUMNS = (
    *("agent", "tool", "agent_version", "model", "source_partition", "slot_ms", "version"),
    *("window_start_ms", "window_ms", *TOOL_SUMS),
    *(f"{name}_{half}" for name in TOOL_SKETCHES for half in ("keys", "counts")),
)
"""What is read of a tool's part: there are many of them."""


class Totals(Protocol):
    """What was counted in a stretch of time."""

    @property
    def sums(self) -> Mapping[str, float]:
        """`windows.SUMS`, added; of a tool, `TOOL_SUMS`."""

    @property
    def sketches(self) -> Mapping[str, Mapping[int, int]]:
        """`windows.METRICS`: bucket key → count; of a tool, `TOOL_SKETCHES`."""

    @property
    def stop_reasons(self) -> Mapping[str, int]:
        """Stop reason → runs."""


@dataclass(frozen=True, slots=True)
class Share:
    """A version's, or a tool's, share of a window."""

    sums: Mapping[str, float]
    sketches: Mapping[str, Mapping[int, int]]
    stop_reasons: Mapping[str, int] = field(default_factory=dict)


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
    versions: Mapping[str | None, Share] = field(default_factory=dict)
    """The agent's versions, where more than one ran."""


@dataclass(frozen=True, slots=True)
class ToolWindow:
    """What one agent's tools did in one window."""

    start_ms: int
    end_ms: int
    tools: Mapping[str, Share]
    """The most called ones."""


@dataclass(slots=True)
class _Tools:
    window_ms: int
    heard_ms: int = 0
    """Log time of the last part."""
    parts: dict[tuple[Source, str], Mapping[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Agent:
    parts: dict[int, dict[Source, Mapping[str, Any]]] = field(default_factory=dict)
    """Window start → its parts."""
    tools: dict[int, _Tools] = field(default_factory=dict)
    """Window start → the parts of tools."""
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition → its watermark (event time), and when it was last heard of (log time)."""
    judged_ms: int = -1
    """Start of the last window that was handed out."""
    tools_judged_ms: int = -1
    heard_ms: int = -(2**62)
    since_ms: int = 0
    """Since when it has been heard of again and again."""
    due_ms: int = -1
    """When it is looked at again though nothing came, by log time; -1: not at all."""


class MergeRules(Section):
    """How long a window is waited for before it is judged."""

    grace: Duration = Field(10_000, ge=0, description="How long after a window's end, by event time, it is judged.")
    quiet: Duration = Field(
        5_000, ge=100, description="A partition that was silent about an agent for so long is not waited for."
    )
    settle: Duration = Field(
        6_000,
        ge=0,
        description="How long an agent that was silent, or is new, is listened to before its windows are judged: "
        "partitions tell what they have of it one after the other.",
    )
    tools: Duration = Field(
        15_000, ge=0, description="How long a window's tools are waited for after the last was heard of them."
    )
    ahead: Duration = Field(
        86_400_000,
        ge=0,
        description="A window that ends so far ahead of the log waits: judged, it would make all before it late.",
    )
    most_windows: int = Field(
        2_000, ge=1, description="Windows that an agent may have waiting; beyond it the oldest is judged as it is."
    )
    most_tools: int = Field(
        50, ge=0, le=10_000, description="Tools of an agent that are looked at in a window: its most called ones."
    )
    most_parts: int = Field(
        5_000, ge=10, description="Parts that a window may have; what comes beyond is left out, and counted."
    )
    most_agents: int = Field(
        20_000, ge=1, description="Agents that are known at a time; the longest silent one leaves."
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
        # Least recently heard first.
        self._agents: dict[str, _Agent] = {}
        # Agents of which something came since they were last looked at, and when others are due, by log time.
        self._fresh: dict[str, None] = {}
        self._due: list[tuple[int, str]] = []
        self.late = 0
        """Parts that came after their window was handed out."""
        self.left_out = 0
        """Parts beyond `most_parts`."""

    def __len__(self) -> int:
        """Agents that are known."""
        return len(self._agents)

    def add(self, part: Mapping[str, Any], log_ms: int) -> None:
        """Takes a part, a record of `window_part.avsc` with times in milliseconds: an agent's own or a tool's.

        Of a tool's part only `TOOL_COLUMNS` are read.
        """
        name = part["agent"]
        agent = self._agents.pop(name, None) or _Agent()
        self._agents[name] = agent
        if log_ms - agent.heard_ms > self.rules.quiet:
            agent.since_ms = log_ms
        agent.heard_ms = max(agent.heard_ms, log_ms)
        self._fresh[name] = None
        if len(self._agents) > self.rules.most_agents:
            self._forget(next(iter(self._agents)))
        partition, start = part["source_partition"], part["window_start_ms"]
        source = (partition, part["slot_ms"], part["agent_version"], part["model"])
        tool = part["tool"]
        if tool is None:
            mark, heard = agent.marks.get(partition, (0, 0))
            agent.marks[partition] = (max(mark, part["watermark_ms"]), max(heard, log_ms))
            if start <= agent.judged_ms:
                self.late += 1
            else:
                self._keep(agent.parts.setdefault(start, {}), source, part)
        elif start <= agent.tools_judged_ms:
            self.late += 1
        else:
            tools = agent.tools.get(start)
            if tools is None:
                tools = agent.tools[start] = _Tools(part["window_ms"])
            tools.heard_ms = max(tools.heard_ms, log_ms)
            self._keep(tools.parts, (source, tool), part)

    def ready(self, log_ms: int) -> list[tuple[str, Window | ToolWindow]]:
        """Windows that are whole by now (log time), each agent's oldest first, and forgets them."""
        names = list(self._fresh)
        self._fresh.clear()
        while self._due and self._due[0][0] <= log_ms:
            at, name = heapq.heappop(self._due)
            agent = self._agents.get(name)
            if agent is not None and agent.due_ms == at:
                agent.due_ms = -1
                names.append(name)
        out: list[tuple[str, Window | ToolWindow]] = []
        for name in dict.fromkeys(names):
            agent = self._agents[name]
            out += ((name, window) for window in self._whole(agent, log_ms))
            due_ms = self._next_look(agent, log_ms)
            if due_ms is not None and (agent.due_ms < 0 or due_ms < agent.due_ms):
                agent.due_ms = due_ms
                heapq.heappush(self._due, (due_ms, name))
        return out

    def _whole(self, agent: _Agent, log_ms: int) -> Iterable[Window | ToolWindow]:
        # Without a mark (0) a partition's events have told no time that can be: it is not waited for either.
        speaking = [mark for mark, heard in agent.marks.values() if mark and heard >= log_ms - self.rules.quiet]
        through = min([*speaking, log_ms + self.rules.ahead]) - self.rules.grace
        is_settled = log_ms >= agent.since_ms + self.rules.settle
        starts = sorted(agent.parts)
        for place, start in enumerate(starts):
            parts = agent.parts[start].values()
            end_ms = start + next(iter(parts))["window_ms"]
            if (end_ms > through or not is_settled) and len(starts) - place <= self.rules.most_windows:
                break
            yield from self._tools(agent, start, log_ms)
            yield _merged(start, end_ms, list(parts))
            del agent.parts[start]
            agent.judged_ms = start
        yield from self._tools(agent, agent.judged_ms + 1, log_ms)

    def _tools(self, agent: _Agent, before_ms: int, log_ms: int) -> Iterable[ToolWindow]:
        """Windows of the agent's tools that begin before then, and of which all has come."""
        for start in sorted(start for start in agent.tools if start < before_ms):
            tools = agent.tools[start]
            if tools.heard_ms + self.rules.tools > log_ms:
                return
            del agent.tools[start]
            agent.tools_judged_ms = start
            yield ToolWindow(start, start + tools.window_ms, _by_tool(tools.parts, self.rules.most_tools))

    def _next_look(self, agent: _Agent, log_ms: int) -> int | None:
        """When something may be whole though nothing came, by log time."""
        looks = [one.heard_ms + self.rules.tools for start, one in agent.tools.items() if start <= agent.judged_ms]
        if agent.parts and log_ms < agent.since_ms + self.rules.settle:
            looks.append(agent.since_ms + self.rules.settle)
        elif agent.parts:
            # Until a partition counts as silent, or the log has come near enough to a window far ahead of it.
            speaking = [heard for _, heard in agent.marks.values() if heard >= log_ms - self.rules.quiet]
            first = min(agent.parts)
            ahead = first + next(iter(agent.parts[first].values()))["window_ms"] + self.rules.grace - self.rules.ahead
            looks.append(min(speaking) + self.rules.quiet + 1 if speaking else ahead)
        return max(min(looks), log_ms + 1) if looks else None

    def _keep(self, held: dict[Any, Mapping[str, Any]], key: Any, part: Mapping[str, Any]) -> None:
        known = held.get(key)
        if known is None and len(held) >= self.rules.most_parts:
            self.left_out += 1
        elif known is None or known["version"] <= part["version"]:
            held[key] = part

    def _forget(self, name: str) -> None:
        del self._agents[name]
        self._fresh.pop(name, None)


def _merged(start_ms: int, end_ms: int, parts: Sequence[Mapping[str, Any]]) -> Window:
    """The sum of parts of one window."""
    by_version: dict[str | None, list[Mapping[str, Any]]] = {}
    for part in parts:
        by_version.setdefault(part["agent_version"], []).append(part)
    if len(by_version) == 1:
        whole = _added(parts)
        return Window(start_ms, end_ms, whole.sums, whole.sketches, whole.stop_reasons)
    versions = {version: _added(own) for version, own in by_version.items()}
    shares = list(versions.values())
    return Window(
        start_ms,
        end_ms,
        sums={name: sum(one.sums[name] for one in shares) for name in SUMS},
        sketches={name: sketch.merge(one.sketches[name] for one in shares) for name in METRICS},
        stop_reasons=sketch.merge(one.stop_reasons for one in shares),
        versions=versions,
    )


def _added(parts: Sequence[Mapping[str, Any]]) -> Share:
    return Share(
        sums={name: sum(part[name] for part in parts) for name in SUMS},
        sketches={name: _sketch(parts, name) for name in METRICS},
        stop_reasons=sketch.merge(
            dict(zip(part["stop_reasons"], part["stop_reason_counts"], strict=True)) for part in parts
        ),
    )


def _by_tool(parts: Mapping[tuple[Source, str], Mapping[str, Any]], most: int) -> dict[str, Share]:
    by_tool: dict[str, list[Mapping[str, Any]]] = {}
    for (_, tool), part in parts.items():
        by_tool.setdefault(tool, []).append(part)
    if len(by_tool) > most:
        calls = {tool: sum(part["tool_calls"] for part in own) for tool, own in by_tool.items()}
        by_tool = {tool: by_tool[tool] for tool in sorted(by_tool, key=lambda tool: (-calls[tool], tool))[:most]}
    return {
        tool: Share(
            {name: sum(part[name] for part in own) for name in TOOL_SUMS},
            {name: _sketch(own, name) for name in TOOL_SKETCHES},
        )
        for tool, own in by_tool.items()
    }


def _sketch(parts: Iterable[Mapping[str, Any]], name: str) -> dict[int, int]:
    return sketch.merge(dict(zip(part[name + "_keys"], part[name + "_counts"], strict=True)) for part in parts)
