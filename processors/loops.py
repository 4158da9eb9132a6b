"""Loops within a run: what changes is progress, what does not is a loop.

A call is its tool and its arguments, an outcome what came back: status, error and result, all as hashes.

- `loop.repeat`: the same call with the same outcome, `repeat` times in a row
- `loop.failing`: the same call failing `failing` times in a row, however it fails
- `loop.cycle`: the same 2 to 6 calls with the same outcomes, `cycles` times over

A loop needs a call that came before, so a frame's calls are first counted in bulk, and only runs in which
one stands often enough reach the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .runs import I64, RING, U64, History, Mask, RunTable

REPEAT, FAILING, CYCLE = "loop.repeat", "loop.failing", "loop.cycle"
_BITS = {REPEAT: 1, FAILING: 2, CYCLE: 4}
LONGEST_CYCLE = 6


@dataclass(frozen=True, slots=True)
class LoopRules:
    """Thresholds of the loop rules, in calls or rounds."""

    repeat: int = 4
    failing: int = 4
    cycles: int = 3

    def __post_init__(self) -> None:
        for name, most in (("repeat", RING), ("failing", RING), ("cycles", RING // LONGEST_CYCLE)):
            if not 2 <= getattr(self, name) <= most:
                raise ValueError(f"loops.{name} is between 2 and {most}, and this is {getattr(self, name)}")

    @property
    def least(self) -> int:
        """How often a call must stand in a run's latest calls before any rule can hold."""
        return min(self.repeat, self.failing, self.cycles)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule that holds at the end of a history."""

    rule: str
    count: int
    """Calls in a row, or rounds of the cycle."""
    period: int
    """Calls a round: 1 but for cycles."""

    @property
    def calls(self) -> int:
        """How many of the latest calls are the evidence."""
        return self.count * self.period


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that was found: the verdict, the call that met it, and the evidence."""

    at: int
    """Place of the call among those given."""
    verdict: Verdict
    seqs: tuple[int, ...]
    onset_ms: int


def failed(outcome: int) -> bool:
    """Whether the call with that outcome hash failed: its lowest bit says so."""
    return bool(outcome & 1)


def judge(calls: Sequence[int], outcomes: Sequence[int], rules: LoopRules) -> Verdict | None:
    """The rule that holds at the end of a run's calls (oldest first), or None."""
    if not calls:
        return None
    last, outcome = calls[-1], outcomes[-1]
    alike = failing = 0
    for call, result in zip(reversed(calls), reversed(outcomes), strict=True):
        if call != last:
            break
        # Both count from the end and stop at the first that does not fit.
        position = max(alike, failing)
        if result == outcome and alike == position:
            alike += 1
        if failed(result) and failing == position:
            failing += 1
        if max(alike, failing) == position:
            break
    if failing >= rules.failing:
        return Verdict(FAILING, failing, 1)
    if alike >= rules.repeat:
        return Verdict(REPEAT, alike, 1)
    steps = list(zip(calls, outcomes, strict=True))
    for period in range(2, LONGEST_CYCLE + 1):
        rounds = _rounds(steps, period)
        if rounds >= rules.cycles and len(set(steps[-period:])) > 1:
            return Verdict(CYCLE, rounds, period)
    return None


def _rounds(steps: Sequence[tuple[int, int]], period: int) -> int:
    """How many whole rounds of that period the history ends with."""
    matched = 0
    for at in range(len(steps) - 1, period - 1, -1):
        if steps[at] != steps[at - period]:
            break
        matched += 1
    return 1 + matched // period


def find(table: RunTable, rows: I64, calls: U64, outcomes: U64, seqs: I64, times: I64, rules: LoopRules) -> list[Loop]:
    """Loops that these tool calls (in the order they came) complete; each rule once a run. Notes the calls.

    The result is the same however a run's calls are split over calls of this function.
    """
    found: list[Loop] = []
    if len(rows):
        suspects = np.unique(rows[_repeated(table, rows, calls, rules.least)])
        order = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[order], suspects, "left")
        ends = np.searchsorted(rows[order], suspects, "right")
        for row, start, end in zip(suspects.tolist(), starts.tolist(), ends.tolist(), strict=True):
            places = order[start:end].tolist()
            found.extend(_follow(table, row, places, calls, outcomes, seqs, times, rules))
        table.push(rows, calls, outcomes, seqs, times)
    return sorted(found, key=lambda loop: loop.at)


def _repeated(table: RunTable, rows: I64, calls: U64, least: int) -> Mask:
    """Which calls stand at least `least` times among their run's kept and these new ones."""
    pair = calls ^ (rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    _, which, counts = np.unique(pair, return_inverse=True, return_counts=True)
    here = counts[which]
    many: Mask = here + table.count_in_ring(rows, calls) >= least
    return many


def _follow(
    table: RunTable, row: int, places: list[int], calls: U64, outcomes: U64, seqs: I64, times: I64, rules: LoopRules
) -> list[Loop]:
    """One run's loops: its kept calls, then the new ones one by one."""
    kept: History = table.history(row)
    history = History(list(kept.calls), list(kept.results), list(kept.seqs), list(kept.times))
    found: list[Loop] = []
    for at in places:
        history.calls.append(int(calls[at]))
        history.results.append(int(outcomes[at]))
        history.seqs.append(int(seqs[at]))
        history.times.append(int(times[at]))
        for column in (history.calls, history.results, history.seqs, history.times):
            del column[:-RING]
        verdict = judge(history.calls, history.results, rules)
        if verdict and not table.fired[row] & _BITS[verdict.rule]:
            table.fired[row] |= _BITS[verdict.rule]
            first = len(history.seqs) - min(verdict.calls, len(history.seqs))
            found.append(Loop(at, verdict, tuple(history.seqs[first:]), history.times[first]))
    return found


def sentence(verdict: Verdict, tool: str | None, seqs: Sequence[int], error: str | None) -> str:
    """What a person is told."""
    name = tool or "a tool"
    where = f"steps {seqs[0]} to {seqs[-1]}"
    if verdict.rule == FAILING:
        how = f" with {error}" if error else ""
        return f"{name} failed {verdict.count} times in a row{how}, always with the same arguments ({where})."
    if verdict.rule == REPEAT:
        return (
            f"{name} was called {verdict.count} times in a row with the same arguments and the same result ({where})."
        )
    return (
        f"The same {verdict.period} calls, {name} the last of them, came round {verdict.count} times "
        f"with the same arguments and results ({where})."
    )
