"""`fleet.handoff`: runs that start each other in turns: A hands to B, B to A, and so on; or A to itself, ever deeper.

A chain is a run, the run that started it, the one that started that, and so on. It loops where its latest runs'
agents repeat with a period. One parent with many children is no chain, however many they are, and neither is a
deep orchestration of agents that do not take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...schemas.anomalies import Anomaly, Severity
from .episodes import Episode, Finding, agent_of, clock, counted
from .merge import Child, FleetWindow
from .rules import HandoffRules

LONGEST = 256
"""Runs of a chain that are looked at; whoever is its own ancestor would never end."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Runs that take turns, the latest first."""

    runs: tuple[Child, ...]
    period: int

    @property
    def rounds(self) -> int:
        return len(self.runs) // self.period

    @property
    def turn(self) -> tuple[str, ...]:
        """The agents that take turns, in their order; the same for every chain of these."""
        agents = tuple(run.agent for run in reversed(self.runs[: self.period]))
        return min(agents[at:] + agents[:at] for at in range(self.period))


@dataclass(slots=True)
class _Trouble:
    episode: Episode
    seen_ms: int
    """End of the last window in which such a chain went on."""


class HandoffJudge:
    """Judges the fleet's windows, in order."""

    def __init__(self, rules: HandoffRules) -> None:
        self.rules = rules
        self._children: dict[str, Child] = {}
        self._open: dict[tuple[str, ...], _Trouble] = {}

    @property
    def tracked(self) -> int:
        """How many runs are remembered."""
        return len(self._children)

    def judge(self, window: FleetWindow) -> list[Anomaly]:
        """What this window opens, escalates or resolves."""
        for child in window.children:
            self._children[child.run_id] = child
        longest: dict[tuple[str, ...], Chain] = {}
        for child in window.children:
            chain = looping(self._ancestry(child), self.rules)
            if chain and len(chain.runs) > len(longest.get(chain.turn, _NONE).runs):
                longest[chain.turn] = chain
        found = [one for turn in sorted(longest) if (one := self._found(turn, longest[turn], window))]
        for turn in sorted(self._open):
            trouble = self._open[turn]
            if window.end_ms - trouble.seen_ms >= self.rules.cool and turn not in longest:
                del self._open[turn]
                message = f"{_names(turn)}: the hand-off loop that began {clock(trouble.episode.onset_ms)} is over."
                found.append(trouble.episode.resolved(window.end_ms, 0.0, message))
        self._forget(window.end_ms)
        return found

    def _ancestry(self, child: Child) -> list[Child]:
        """The run and those it descends from, as far as they are known and began within `within`."""
        chain, seen = [child], {child.run_id}
        while len(chain) < LONGEST:
            parent = self._children.get(chain[-1].parent)
            if parent is None or parent.run_id in seen or parent.start_ms < child.start_ms - self.rules.within:
                break
            chain.append(parent)
            seen.add(parent.run_id)
        return chain

    def _found(self, turn: tuple[str, ...], chain: Chain, window: FleetWindow) -> Anomaly | None:
        severity = _severity(chain, self.rules)
        first, last = chain.runs[-1], chain.runs[0]
        trouble = self._open.get(turn)
        if trouble is None:
            episode = Episode.about("fleet.handoff", *turn, onset_ms=first.start_ms)
            trouble = self._open[turn] = _Trouble(episode, window.end_ms)
        trouble.seen_ms = window.end_ms
        if not trouble.episode.is_worse(severity):
            return None
        seconds = max(0, last.start_ms - first.start_ms) / 1000
        lasted = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        what = (
            f"{turn[0]} starts itself again and again"
            if len(turn) == 1
            else f"{_names(turn)} hand their work round in a loop, {chain.rounds} rounds so far"
        )
        return trouble.episode.found(
            Finding(
                severity,
                window.end_ms,
                float(len(chain.runs)),
                agent_of(sorted(set(turn))),
                f"{what}: {counted(len(chain.runs), 'run')} in {lasted}, each started by the one before "
                f"(from run {first.run_id} to run {last.run_id}).",
                run_id=last.run_id,
                period=chain.period,
            )
        )

    def _forget(self, now_ms: int) -> None:
        """Lets go of runs that no chain can hold any more, and of the oldest where there are too many."""
        since = now_ms - 2 * self.rules.within
        if self._children and next(iter(self._children.values())).start_ms < since:
            self._children = {run: child for run, child in self._children.items() if child.start_ms >= since}
        if len(self._children) > self.rules.most_runs:
            oldest = sorted(self._children.values(), key=lambda one: (one.start_ms, one.run_id))
            self._children = {one.run_id: one for one in oldest[-(self.rules.most_runs // 2) :]}


def looping(chain: Sequence[Child], rules: HandoffRules) -> Chain | None:
    """The latest runs of a chain (the latest first) that take turns, if that is a loop; the shortest period counts."""
    agents = [run.agent for run in chain]
    if len(agents) < rules.least_runs:
        return None
    for period in range(1, rules.longest_period + 1):
        repeated = 0
        while repeated + period < len(agents) and agents[repeated] == agents[repeated + period]:
            repeated += 1
        if not repeated:
            continue
        found = Chain(tuple(chain[: repeated + period]), period)
        if found.rounds >= rules.rounds and len(found.runs) >= rules.least_runs:
            return found
    return None


def _severity(chain: Chain, rules: HandoffRules) -> Severity:
    critical = chain.rounds >= rules.critical_rounds and len(chain.runs) >= rules.critical_runs
    return "critical" if critical else "warning"


def _names(turn: Sequence[str]) -> str:
    return turn[0] if len(turn) == 1 else f"{', '.join(turn[:-1])} and {turn[-1]}"


_NONE = Chain((), 1)
