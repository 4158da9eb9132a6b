"""Mixes: how runs stop, which tools are called. A distance between distributions, and what chance makes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log, log2, sqrt

from ...schemas.anomalies import State
from .rules import DriftRules
from .scores import NORMAL, mad, middle

MOST_PARTS = 32
"""Parts of a mix that are told apart; the rest are one."""
REST = "(others)"
MEMORY = 200
"""Measurements' worth of runs that a baseline holds; what is older fades."""
LEAST_MEMORY = 4


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Jensen-Shannon distance of two mixes of counts, neither empty: 0 to 1 bit.

    Source: Lin: Divergence Measures Based on the Shannon Entropy, IEEE Trans. Inf. Theory 37(1), 1991.
    """
    n, m = sum(one.values()), sum(other.values())
    total = 0.0
    for name in one.keys() | other.keys():
        p, q = one.get(name, 0.0) / n, other.get(name, 0.0) / m
        middle_ = (p + q) / 2
        total += (p * log2(p / middle_) if p else 0.0) + (q * log2(q / middle_) if q else 0.0)
    return total / 2


def by_chance(parts: int, n: float, m: float) -> tuple[float, float]:
    """Mean and standard deviation of the distance of two samples, of n and m, of the same mix of so many parts.

    8 ln 2 times the distance over (1/n + 1/m) follows a chi-squared distribution with parts - 1 degrees of freedom.
    """
    free = max(parts - 1, 1)
    unit = (1 / n + 1 / m) / (8 * log(2))
    return free * unit, sqrt(2 * free) * unit


@dataclass(frozen=True, slots=True)
class MixTurn:
    """What an episode of a mix comes to."""

    state: State
    onset_ms: int
    ts_ms: int
    value: float
    """The distance, bits; what chance makes of it left out."""
    baseline: float
    before: Mapping[str, float]
    now: Mapping[str, float]
    """Shares of one."""
    how: str


class MixTrack:
    """One mix of one agent."""

    def __init__(self, rules: DriftRules) -> None:
        self.rules = rules
        self.is_open = False
        self._start_ms = 0
        self._end_ms = 0
        self._counts: dict[str, float] = {}
        self._runs = 0.0
        self._usual: dict[str, float] = {}
        self._usual_runs = 0.0
        # Excess distances of the measurements of the past.
        self._past: deque[float] = deque(maxlen=rules.trailing_points)
        # Of a change under way: its onset, measurements, counts.
        self._onset_ms = 0
        self._hot: list[tuple[dict[str, float], float]] = []
        self._after: dict[str, float] = {}
        self._after_runs = 0.0
        self._cool = 0
        self._opened_ms = 0
        self._quiet_until_ms = 0

    def add(self, start_ms: int, end_ms: int, counts: Mapping[str, float], runs: float) -> list[MixTurn]:
        """The next window: counts of a mix, and the runs they are of. A turn that opens is a proposal; see `open`."""
        if runs <= 0 or not counts:
            return []
        rules = self.rules
        turns: list[MixTurn] = []
        if self._end_ms and start_ms - self._end_ms > rules.silence:
            turns += self.fell_silent()
            self._counts, self._runs = {}, 0.0
            self._learn_all()
        self._end_ms = end_ms
        if not self._runs:
            self._start_ms = start_ms
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0.0) + count
        self._runs += runs
        is_late = end_ms - self._start_ms >= rules.longest
        if self._runs >= rules.least_mix or (is_late and self._runs >= rules.least_mix / 2):
            counted, self._counts = _folded(self._counts, self._usual), {}
            counted_runs, self._runs = self._runs, 0.0
            turns += self._point(self._start_ms, end_ms, counted, counted_runs)
        elif is_late:
            self._counts, self._runs = {}, 0.0
        return turns

    def open(self) -> None:
        """Makes the proposal an episode."""
        self.is_open = True
        self._opened_ms = self._end_ms
        self._after, self._after_runs = {}, 0.0
        for counts, runs in self._hot:
            self._add_after(counts, runs)
        self._hot.clear()
        self._cool = 0

    def fell_silent(self) -> list[MixTurn]:
        """Ends what is open: nothing more was heard."""
        if not self.is_open:
            return []
        self.is_open = False
        return [self._turn("resolved", self._end_ms, self._after, 0.0, "silent")]

    def _point(self, start_ms: int, end_ms: int, counts: dict[str, float], runs: float) -> list[MixTurn]:
        rules = self.rules
        if self._usual_runs < LEAST_MEMORY * rules.least_mix:
            self._learn(counts, runs)
            return []
        mean, spread = by_chance(len(counts.keys() | self._usual.keys()), runs, self._usual_runs)
        excess = distance(counts, self._usual) - mean
        bar = max(rules.mix_distance, rules.score * spread)
        if len(self._past) >= rules.least_points:
            past = sorted(self._past)
            bar = max(bar, middle(past) + rules.score * NORMAL * mad(past))
        if self.is_open:
            return self._followed(end_ms, counts, runs, excess, bar)
        if excess < bar:
            self._learn_all()
            self._learn(counts, runs)
            self._past.append(excess)
            return []
        if not self._hot:
            self._onset_ms = start_ms
        self._hot.append((counts, runs))
        if len(self._hot) > 60:
            self._learn(*self._hot.pop(0))
        if len(self._hot) < 3 or end_ms - self._onset_ms < rules.sustain or end_ms < self._quiet_until_ms:
            return []
        return [self._turn("open", end_ms, _sum(counts for counts, _ in self._hot), excess, "mix")]

    def _followed(self, end_ms: int, counts: dict[str, float], runs: float, excess: float, bar: float) -> list[MixTurn]:
        self._add_after(counts, runs)
        self._cool = self._cool + 1 if excess < bar / 2 else 0
        if self._cool >= min(3, self.rules.cool_points):
            self.is_open = False
            self._quiet_until_ms = end_ms + self.rules.cooldown
            return [self._turn("resolved", end_ms, counts, excess, "back")]
        if end_ms - self._opened_ms >= self.rules.accept:
            turn = self._turn("resolved", end_ms, self._after, excess, "accepted")
            self.is_open = False
            self._usual, self._usual_runs = self._after, self._after_runs
            self._past.clear()
            return [turn]
        return []

    def _add_after(self, counts: Mapping[str, float], runs: float) -> None:
        self._after_runs = _faded(self._after, self._after_runs, counts, runs, MEMORY * self.rules.least_mix)

    def _learn(self, counts: Mapping[str, float], runs: float) -> None:
        self._usual_runs = _faded(self._usual, self._usual_runs, counts, runs, MEMORY * self.rules.least_mix)

    def _learn_all(self) -> None:
        for counts, runs in self._hot:
            self._learn(counts, runs)
        self._hot.clear()

    def _turn(self, state: State, end_ms: int, now: Mapping[str, float], excess: float, how: str) -> MixTurn:
        usual = middle(sorted(self._past)) if self._past else 0.0
        onset_ms = self._onset_ms
        return MixTurn(
            state, onset_ms, end_ms, max(excess, 0.0), max(usual, 0.0), _shares(self._usual), _shares(now), how
        )


def _faded(held: dict[str, float], held_runs: float, counts: Mapping[str, float], runs: float, most: float) -> float:
    """Adds counts to those that are held, which fade once they are of more than `most` runs; the runs held then."""
    for name, count in counts.items():
        held[name] = held.get(name, 0.0) + count
    held_runs += runs
    if held_runs > most:
        for name in held:
            held[name] *= most / held_runs
        held_runs = most
    return held_runs


def _folded(counts: dict[str, float], usual: Mapping[str, float]) -> dict[str, float]:
    """The counts with what is beyond `MOST_PARTS` as one; parts that the baseline knows stay by themselves."""
    if len(counts) <= MOST_PARTS and len(usual) <= MOST_PARTS:
        return counts
    kept = set(sorted(counts, key=lambda name: (name not in usual, -counts[name], name))[: MOST_PARTS - 1])
    folded: dict[str, float] = {}
    for name, count in counts.items():
        place = name if name in kept else REST
        folded[place] = folded.get(place, 0.0) + count
    return folded


def _sum(mixes: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in mixes:
        for name, count in one.items():
            total[name] = total.get(name, 0.0) + count
    return total


def _shares(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values()) or 1.0
    return {name: count / total for name, count in counts.items()}
