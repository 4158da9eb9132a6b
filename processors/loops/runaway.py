"""Runs that take far more steps, tokens or money than their agent's runs do.

What is usual is learned from the runs that ended in this partition, in the events' order, so that it is the same
however they are cut into frames: of an agent's latest `KEPT` runs the most that one took, and how far they spread,
looked at anew after every `EVERY` of them. Runs of which something critical was said teach nothing.

A run is far beyond when it has taken several times the most, and lies out of the spread: what runs take has a long
tail, so distances are those of logarithms, and the unit is that from the median to the run that 19 of 20 stay below
(divided by 1.645, it is the standard deviation of a normal distribution).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ..numbers import Numbers
from ..runs import I64, RunTable
from .rules import RunawayRule
from .said import RUNAWAY, is_said, looped, say
from .verdicts import CRITICAL, WARNING

KEPT = 512
EVERY = 10
MOST_AGENTS = 4_096
"""Agents of which it is known what is usual, 6 kB each; beyond that the one known longest is forgotten."""

_Z95 = 1.645
"""The standard normal distribution's 0.95-quantile."""
_MOST = 3e38
"""As much as a 32-bit float holds."""
_LOG_MOST = 700.0
_WHAT = ("steps", "tokens", "cost_usd")
Took = tuple[float, float, float]
"""Steps, tokens and US dollars of a run."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What an agent's runs take."""

    most: npt.NDArray[np.float64]
    """Of each thing, the most that one run took."""
    warning: npt.NDArray[np.float64]
    """Of each, from where on it is far beyond; infinite where nothing is known of it."""
    critical: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Runaway:
    """A run that ran away."""

    at: int
    """Place of the event among those given."""
    critical: bool
    escalates: bool
    what: str
    """`steps`, `tokens` or `cost_usd`."""
    value: float
    usual: float

    def sentence(self, agent: str) -> str:
        """What a person on call is told."""
        much = {
            "steps": f"{self.value:,.0f} steps",
            "tokens": f"{self.value:,.0f} tokens",
            "cost_usd": f"${self.value:,.2f}",
        }[self.what]
        usual = f"${self.usual:,.2f}" if self.what == "cost_usd" else f"{self.usual:,.0f}"
        return (
            f"A run of {agent} has taken {much} so far, {self.value / self.usual:.1f} times the most that its runs "
            f"lately took ({usual})."
        )


class _Norm:
    """What one agent's runs took."""

    __slots__ = ("count", "taken", "usual")

    def __init__(self) -> None:
        self.count = 0
        self.taken = array("f", bytes(4 * KEPT * len(_WHAT)))
        self.usual: Usual | None = None

    def add(self, took: Took, rule: RunawayRule) -> bool:
        """Learns of an ended run; says whether what is usual was looked at anew."""
        at = self.count % KEPT * len(_WHAT)
        self.taken[at : at + len(_WHAT)] = array("f", [min(amount, _MOST) for amount in took])
        self.count += 1
        if self.count % EVERY or self.count < rule.least_runs:
            return False
        taken = np.frombuffer(self.taken, np.float32).reshape(KEPT, len(_WHAT))[: min(self.count, KEPT)]
        self.usual = usual_of(taken.astype(np.float64), rule)
        return True


def usual_of(taken: npt.NDArray[np.float64], rule: RunawayRule) -> Usual:
    """`taken`: a row a run, of steps, tokens and US dollars."""
    most = taken.max(axis=0)
    with np.errstate(divide="ignore"):
        middle, high = np.quantile(np.log(taken), (0.5, 0.95), axis=0, method="lower")
    # Where most runs take nothing there is no scale to tell a distance by.
    known = np.isfinite(middle)
    spread = np.where(known, (high - np.where(known, middle, 0.0)) / _Z95, 0.0)
    least = np.array([rule.least_steps, rule.least_tokens, rule.least_cost_usd], np.float64)

    def limit(times: float, far: float) -> npt.NDArray[np.float64]:
        out = np.exp(np.minimum(np.where(known, middle, 0.0) + far * spread, _LOG_MOST))
        return np.where(known, np.maximum.reduce([least, times * most, out]), np.inf)

    return Usual(most, limit(rule.warning, rule.spread_warning), limit(rule.critical, rule.spread_critical))


class Runaways:
    """What is usual for the agents of one partition, and the runs that are far beyond it."""

    def __init__(self, rule: RunawayRule) -> None:
        self.rule = rule
        self._norms: dict[str, _Norm] = {}
        self._least = np.array([rule.least_steps, rule.least_tokens, rule.least_cost_usd], np.float64)

    def find(self, table: RunTable, rows: I64, numbers: Numbers, agents: pl.Series) -> list[Runaway]:
        """Runs that these events (in the order they came) show to run away; each level once a run. Notes the events.

        `rows`, `agents`: each event's. A run's stop is the last of its events.
        """
        touched, which = np.unique(rows, return_inverse=True)
        added = np.stack([np.ones(len(rows)), numbers.tokens, numbers.cost_usd], axis=1)
        before = table.taken[touched]
        after = before + np.stack([np.bincount(which, added[:, at], len(touched)) for at in range(len(_WHAT))], axis=1)
        table.taken[touched] = after
        if not self.rule.enabled:
            return []
        suspects = set(np.flatnonzero((after >= self._least).any(axis=1)).tolist())
        # Agent → places at which what is usual was looked at anew, and what it had been until then.
        looked: dict[str, list[tuple[int, Usual | None]]] = {}
        found: list[Runaway] = []

        def follow(run: int) -> None:
            places = np.flatnonzero(which == run)
            taken = before[run] + np.cumsum(added[places], axis=0)
            found.extend(self._follow(table, int(touched[run]), places, taken, agents, looked))

        stops = np.flatnonzero(numbers.is_stop)
        ended = agents.gather(stops).to_list() if len(stops) else []
        for place, run, agent in zip(stops.tolist(), which[stops].tolist(), ended, strict=True):
            if run in suspects:
                suspects.discard(run)
                follow(run)
            if looped(table, int(touched[run])):
                continue
            norm = self._norm(agent)
            usual = norm.usual
            steps, tokens, cost_usd = after[run].tolist()
            if norm.add((steps, tokens, cost_usd), self.rule):
                looked.setdefault(agent, []).append((place, usual))
        for run in sorted(suspects):
            follow(run)
        return sorted(found, key=lambda one: one.at)

    def _follow(
        self,
        table: RunTable,
        row: int,
        places: I64,
        taken: npt.NDArray[np.float64],
        agents: pl.Series,
        looked: Mapping[str, Sequence[tuple[int, Usual | None]]],
    ) -> Iterator[Runaway]:
        """One run's events: its row, their places, and what it had taken with each."""
        agent = agents[int(places[-1])]
        held = self._norms.get(agent)
        known = [*(usual for _, usual in looked.get(agent, ())), held.usual if held else None]
        # Most long runs are long in a usual way: only what is beyond one of the limits is looked at event by event.
        if is_said(table, row, RUNAWAY) or not any(
            (taken[-1] >= usual.warning).any() for usual in known if usual is not None
        ):
            return
        for place, amounts in zip(places.tolist(), taken, strict=True):
            usual = self._usual(agent, place, looked)
            if usual is None:
                continue
            for at in np.flatnonzero(amounts >= usual.warning).tolist():
                level = CRITICAL if amounts[at] >= usual.critical[at] else WARNING
                state = say(table, row, RUNAWAY, level)
                if state is not None:
                    value, most = float(amounts[at]), float(usual.most[at])
                    yield Runaway(place, level == CRITICAL, state == "escalated", _WHAT[at], value, most)

    def _usual(self, agent: str, place: int, looked: Mapping[str, Sequence[tuple[int, Usual | None]]]) -> Usual | None:
        """What was usual for the agent when the event at that place came."""
        norm = self._norms.get(agent)
        for at, until in looked.get(agent, ()):
            if place < at:
                return until
        return norm.usual if norm else None

    def _norm(self, agent: str) -> _Norm:
        norm = self._norms.get(agent)
        if norm is None:
            if len(self._norms) >= MOST_AGENTS:
                del self._norms[next(iter(self._norms))]
            norm = self._norms[agent] = _Norm()
        return norm
