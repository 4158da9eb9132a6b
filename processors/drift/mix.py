"""Mixes: how runs stop, which tools are called. A distance between distributions, and what chance makes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from math import log, log2, sqrt

from ...schemas.anomalies import State
from .rules import DriftRules
from .scores import NORMAL, mad, middle

MOST_PARTS = 32
"""Parts of a mix that are told apart; the rest are one."""
REST = "(others)"
MEMORY = 400
"""Measurements' worth of runs that a baseline holds; what is older fades."""
LEAST_MEMORY = 10
LOOKED_AT = 12
"""The last measurements, which are not part of the baseline yet."""
LEAST_MEASURED = 3


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Jensen-Shannon distance of two mixes of counts, neither empty: 0 to 1 bit.

    Source: Lin: Divergence Measures Based on the Shannon Entropy, IEEE Trans. Inf. Theory 37(1), 1991.
    """
    n, m = sum(one.values()), sum(other.values())
    total = 0.0
    for name in one.keys() | other.keys():
        p, q = one.get(name, 0.0) / n, other.get(name, 0.0) / m
        both = (p + q) / 2
        total += (p * log2(p / both) if p else 0.0) + (q * log2(q / both) if q else 0.0)
    return total / 2


def by_chance(parts: int, n: float, m: float, score: float = 0.0) -> float:
    """The distance of two samples, of n and m, of the same mix of so many parts, that is `score` deviations out.

    8 ln 2 times the distance over (1/n + 1/m) follows a chi-squared distribution with parts - 1 degrees of freedom,
    here by its normal approximation. Source: Wilson, Hilferty: The Distribution of Chi-Square, PNAS 17, 1931.
    """
    free = max(parts - 1, 1)
    far = free * max(1 - 2 / (9 * free) + score * sqrt(2 / (9 * free)), 0.0) ** 3
    return far * (1 / n + 1 / m) / (8 * log(2))


@dataclass(frozen=True, slots=True)
class MixTurn:
    """What an episode of a mix comes to."""

    state: State
    how: str
    onset_ms: int
    ts_ms: int
    value: float
    """The distance, bits; what chance makes of it left out."""
    baseline: float
    before: Mapping[str, float]
    now: Mapping[str, float]
    """Shares of one."""


@dataclass(frozen=True, slots=True)
class _Measured:
    start_ms: int
    counts: Mapping[str, float]
    runs: float


class MixTrack:
    """One mix of one agent."""

    def __init__(self, rules: DriftRules) -> None:
        self.rules = rules
        self.is_open = False
        self.onset_ms = 0
        self._start_ms = 0
        self._end_ms = 0
        self._counts: dict[str, float] = {}
        self._runs = 0.0
        self._usual: dict[str, float] = {}
        self._usual_runs = 0.0
        # Excess distances of single measurements of the past.
        self._past: deque[float] = deque(maxlen=rules.trailing_points)
        self._last: deque[_Measured] = deque()
        # Since an episode opened.
        self._after: dict[str, float] = {}
        self._after_runs = 0.0
        self._opened_ms = 0
        self._quiet_until_ms = 0

    def add(self, start_ms: int, end_ms: int, counts: Mapping[str, float], runs: float) -> list[MixTurn]:
        """The next window: counts of a mix, and the runs they are of. A turn that opens is a proposal; see `open`."""
        if runs <= 0 or not any(count > 0 for count in counts.values()):
            return []
        rules = self.rules
        turns: list[MixTurn] = []
        if self._end_ms and start_ms - self._end_ms > rules.silence:
            turns += self.fell_silent()
            self._counts, self._runs = {}, 0.0
            while self._last:
                self._learn(self._last.popleft())
        self._end_ms = end_ms
        if not self._runs:
            self._start_ms = start_ms
        for name, count in counts.items():
            if count > 0:
                self._counts[name] = self._counts.get(name, 0.0) + count
        self._runs += runs
        is_late = end_ms - self._start_ms >= rules.longest
        if self._runs >= rules.least_mix or (is_late and self._runs >= rules.least_mix / 2):
            measured = _Measured(
                self._start_ms, _folded(self._counts, self._usual.keys() | self._after.keys()), self._runs
            )
            turns += self._point(measured, end_ms)
            self._counts, self._runs = {}, 0.0
        elif is_late:
            self._counts, self._runs = {}, 0.0
        return turns

    def open(self, turn: MixTurn) -> None:
        """Makes the proposal an episode."""
        self.is_open = True
        self.onset_ms = turn.onset_ms
        self._opened_ms = self._end_ms
        self._after, self._after_runs = {}, 0.0
        for one in self._last:
            if one.start_ms >= turn.onset_ms:
                self._learn_after(one)
        self._last.clear()

    def take_up(self, onset_ms: int, end_ms: int) -> None:
        """Goes on with an episode that was opened before."""
        self.is_open = True
        self.onset_ms, self._opened_ms, self._end_ms = onset_ms, end_ms, end_ms

    def fell_silent(self) -> list[MixTurn]:
        """Ends what is open: nothing more was heard."""
        return self._end("silent", self._end_ms, self._after, 0.0) if self.is_open else []

    def _point(self, measured: _Measured, end_ms: int) -> list[MixTurn]:
        rules = self.rules
        if self._usual_runs < LEAST_MEMORY * rules.least_mix:
            self._learn(measured)
            return []
        self._last.append(measured)
        if self.is_open:
            self._learn_after(measured)
            return self._followed(end_ms)
        turns = [] if end_ms < self._quiet_until_ms else self._changed(end_ms)
        if len(self._last) > LOOKED_AT:
            oldest = self._last.popleft()
            self._past.append(self._excess(oldest.counts, oldest.runs))
            self._learn(oldest)
        return turns

    def _changed(self, end_ms: int) -> list[MixTurn]:
        """The latest measurements together, as few of them as show a change, in their older half as in the newer."""
        counts: dict[str, float] = {}
        runs = 0.0
        for number, one in enumerate(reversed(self._last), 1):
            for name, count in one.counts.items():
                counts[name] = counts.get(name, 0.0) + count
            runs += one.runs
            if number < LEAST_MEASURED or end_ms - one.start_ms < self.rules.sustain:
                continue
            excess = self._excess(counts, runs)
            if excess >= self._bar(counts, runs) and self._is_throughout(number, excess):
                newer = _sum(one.counts for one in list(self._last)[-(number // 2) :])
                return [self._turn("open", "mix", one.start_ms, end_ms, newer, excess)]
        return []

    def _is_throughout(self, number: int, excess: float) -> bool:
        """Whether both halves of the last measurements show it, and the oldest of them is nearer to the newer half."""
        last = list(self._last)[-number:]
        older, newer = last[: number // 2], last[number // 2 :]
        oldest = last[: 1 if last[0].runs >= 2 * self.rules.least_mix else max(number // 3, 1)]
        for half in (older, newer):
            if self._excess(_sum(one.counts for one in half), sum(one.runs for one in half)) < excess / 2:
                return False
        began = _sum(one.counts for one in oldest)
        return distance(began, _sum(one.counts for one in newer)) < distance(began, self._usual)

    def _followed(self, end_ms: int) -> list[MixTurn]:
        while len(self._last) > self.rules.cool_points:
            self._last.popleft()
        counts = _sum(one.counts for one in self._last)
        runs = sum(one.runs for one in self._last)
        excess = self._excess(counts, runs)
        is_back = distance(counts, self._usual) < distance(counts, self._after)
        if len(self._last) == self.rules.cool_points and is_back and excess < self._bar(counts, runs) / 2:
            self._quiet_until_ms = end_ms + self.rules.cooldown
            return self._end("back", end_ms, counts, excess)
        if end_ms - self._opened_ms >= self.rules.accept:
            turns = self._end("accepted", end_ms, self._after, excess)
            self._usual, self._usual_runs = dict(self._after), self._after_runs
            self._past.clear()
            return turns
        return []

    def _excess(self, counts: Mapping[str, float], runs: float) -> float:
        parts = len(counts.keys() | self._usual.keys())
        return distance(counts, self._usual) - by_chance(parts, runs, self._usual_runs)

    def _bar(self, counts: Mapping[str, float], runs: float) -> float:
        """What an excess must reach: beyond chance, beyond what the mix does by itself, and worth a word."""
        rules = self.rules
        parts = len(counts.keys() | self._usual.keys())
        far = by_chance(parts, runs, self._usual_runs, rules.score) - by_chance(parts, runs, self._usual_runs)
        own = 0.0
        if len(self._past) >= rules.least_points:
            past = sorted(self._past)
            # Of single measurements: more of them together differ less.
            own = max(middle(past), 0.0) + rules.score * NORMAL * mad(past) * sqrt(rules.least_mix / runs)
        return max(far, own, rules.mix_distance)

    def _learn_after(self, measured: _Measured) -> None:
        self._after_runs = _faded(self._after, self._after_runs, measured, MEMORY * self.rules.least_mix)

    def _learn(self, measured: _Measured) -> None:
        self._usual_runs = _faded(self._usual, self._usual_runs, measured, MEMORY * self.rules.least_mix)

    def _end(self, how: str, end_ms: int, now: Mapping[str, float], excess: float) -> list[MixTurn]:
        self.is_open = False
        self._last.clear()
        return [self._turn("resolved", how, self.onset_ms, end_ms, now, excess)]

    def _turn(
        self, state: State, how: str, onset_ms: int, end_ms: int, now: Mapping[str, float], excess: float
    ) -> MixTurn:
        usual = max(middle(sorted(self._past)), 0.0) if self._past else 0.0
        return MixTurn(state, how, onset_ms, end_ms, max(excess, 0.0), usual, _shares(self._usual), _shares(now))


def _faded(held: dict[str, float], held_runs: float, measured: _Measured, most: float) -> float:
    """Adds counts to those that are held, which fade once they are of more than `most` runs; the runs held then."""
    for name, count in measured.counts.items():
        held[name] = held.get(name, 0.0) + count
    held_runs += measured.runs
    if held_runs > most:
        for name in held:
            held[name] *= most / held_runs
        held_runs = most
    return held_runs


def _folded(counts: dict[str, float], usual: Set[str]) -> dict[str, float]:
    """The counts with what is beyond `MOST_PARTS` as one; parts that are known stay by themselves."""
    new = counts.keys() - usual
    room = max(MOST_PARTS - 1 - len(usual), 0)
    if len(new) <= room:
        return counts
    kept = set(sorted(new, key=lambda name: (-counts[name], name))[:room])
    folded: dict[str, float] = {}
    for name, count in counts.items():
        place = name if name in kept or name in usual else REST
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
