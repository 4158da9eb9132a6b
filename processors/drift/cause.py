"""Which of an agent's tools has most to do with a change."""

from __future__ import annotations

from collections.abc import Mapping

SHORT = 0.8
"""What is left after a window of what was counted before: five windows' worth of memory."""
LONG = 0.995
_MOST = 64
_CLEAR = 0.6
"""The part of a change that a tool must make to be named."""
_COLUMNS: Mapping[str, tuple[str, str]] = {
    # Metric → what a tool counts of it, and the words for it.
    "tool_calls_per_run": ("tool_calls", "of the calls more"),
    "tool_calls_per_run_p95": ("tool_calls", "of the calls more"),
    "retries_per_call": ("retries", "of the retries more"),
    "error_rate": ("tool_errors", "of the failures more"),
}
_COUNTED = tuple(dict.fromkeys(column for column, _ in _COLUMNS.values()))


class Causes:
    """Counts of tools that fade, quickly and slowly."""

    __slots__ = ("_calls", "_runs", "_tools")

    def __init__(self) -> None:
        self._runs = self._calls = 0.0
        # Tool → what was counted of it: a quick and a slow memory each.
        self._tools: dict[str, list[float]] = {}

    @property
    def runs_per_call(self) -> float:
        """Runs a tool call, as long as is remembered; 1 where nothing is known."""
        return min(1.0, self._runs / self._calls) if self._calls else 1.0

    def add_runs(self, runs: float, calls: float) -> None:
        """A window's runs and tool calls."""
        self._runs = self._runs * LONG + runs
        self._calls = self._calls * LONG + calls

    def add_tools(self, tools: Mapping[str, Mapping[str, float]]) -> None:
        """A window's counts of each tool."""
        for counts in self._tools.values():
            for at in range(0, len(counts), 2):
                counts[at] *= SHORT
                counts[at + 1] *= LONG
        for tool, sums in tools.items():
            counts = self._tools.setdefault(tool, [0.0] * (2 * len(_COUNTED)))
            for at, name in enumerate(_COUNTED):
                counts[2 * at] += sums[name]
                counts[2 * at + 1] += sums[name]
        if len(self._tools) > 2 * _MOST:
            largest = sorted(self._tools.items(), key=lambda one: (-one[1][0], one[0]))
            self._tools = dict(largest[:_MOST])

    def of(self, metric: str) -> str:
        """A sentence that names the tool that makes most of a metric's rise; nothing where none does."""
        if metric not in _COLUMNS:
            return ""
        column, words = _COLUMNS[metric]
        at = 2 * _COUNTED.index(column)
        # Per window of either memory.
        more = {tool: counts[at] * (1 - SHORT) - counts[at + 1] * (1 - LONG) for tool, counts in self._tools.items()}
        total = sum(value for value in more.values() if value > 0)
        if total <= 0:
            return ""
        tool, most = max(more.items(), key=lambda one: (one[1], one[0]))
        return f"{most / total:.0%} {words} are {tool}'s." if most >= _CLEAR * total else ""
