"""The runs that an agent does in a day, drawn all at once: when each begins, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .profile import DAY_H, Agent, Ints, Mask, Reals, daylight, traffic

DAY_MS = 86_400_000
_MINUTES = 1_440
LOOP_CALLS = (8, 16)
"""How often a looping run repeats its call before it is stopped: at least, and less than."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of one agent; arrays run over them."""

    begin_ms: Reals
    """Since the history began."""
    calls: Ints
    """Logical tool calls."""
    repeats: Ints
    """Calls after those that all are the same: above 0 where the run loops."""
    tokens: Reals
    latency: Reals
    price: Reals
    """Factors on what the profile says."""
    outcome: Reals
    """The chance that it comes out good."""
    meets: tuple[Mask, ...]
    """Per change of the agent: which runs meet it."""

    def __len__(self) -> int:
        return len(self.begin_ms)


def draw_runs(agent: Agent, day: int, rng: np.random.Generator) -> Runs:
    """The runs that begin on that day (from 0), in the order in which they begin."""
    profile = agent.profile
    minutes = np.arange(_MINUTES)
    rate = traffic(agent, day * DAY_H + (minutes + 0.5) / 60)
    begun = np.repeat(minutes, rng.poisson(rate))
    begin_ms = np.sort((begun + rng.random(len(begun))) * 60_000.0) + day * DAY_MS
    hours = begin_ms / 3_600_000
    count = len(begin_ms)

    night = 1 + (profile.night_work - 1) * (1 - daylight(hours)) ** 2
    calls = night * _hourly(profile.hourly, hours, day, rng)
    tokens = night * _hourly(profile.hourly, hours, day, rng)
    # A model's provider is busy or not: its hours differ more than the tasks do.
    latency = _hourly(2 * profile.hourly, hours, day, rng)
    price = np.ones(count)
    outcome = np.full(count, profile.outcome)
    loops = np.full(count, profile.loops)
    looked = np.zeros(count)
    huge = np.zeros(count, np.int64)
    shares = np.array([tool.weight for tool in profile.tools])
    shares /= shares.sum()
    meets = []
    for change in agent.changes:
        weight = change.weight(hours) * (rng.random(count) < change.share)
        if change.huge is not None:
            weight[np.flatnonzero(weight)[1:]] = 0
            # Once in all: a change that began on an earlier day has had its run.
            weight *= day == change.begin_h // DAY_H
            huge[weight > 0] = change.huge
        calls = calls * (1 + (change.calls - 1) * weight)
        tokens = tokens * (1 + (change.tokens - 1) * weight)
        latency = latency * (1 + (change.latency - 1) * weight)
        price = price * (1 + (change.price - 1) * weight)
        met = weight > 0
        if change.outcome is not None:
            outcome = np.where(met, profile.outcome + (change.outcome - profile.outcome) * weight, outcome)
        if change.loops is not None:
            loops = np.where(met, change.loops, loops)
        if change.looks_elsewhere and change.failing:
            part = sum(share for tool, share in zip(profile.tools, shares, strict=True) if tool.name == change.tool)
            looked = np.where(met, change.looks_elsewhere * change.failing * part, looked)
        meets.append(met)

    sigma = profile.calls_tail
    drawn = profile.mean_calls * np.exp(sigma * rng.standard_normal(count) - sigma**2 / 2) * calls
    # By chance up or down, so that a factor of 1.01 is one.
    own = np.floor(drawn + rng.random(count)).clip(1, profile.most_calls).astype(np.int64)
    more = rng.negative_binomial(own, 1 - looked) if looked.any() else 0
    own = np.where(huge > 0, huge, own + more)
    repeats = np.where(rng.random(count) < loops, rng.integers(*LOOP_CALLS, count), 0)
    return Runs(begin_ms, own, repeats, tokens, latency, price, outcome, tuple(meets))


def _hourly(sigma: float, hours: Reals, day: int, rng: np.random.Generator) -> Reals:
    """A factor near 1 that differs from hour to hour, in straight lines between."""
    points = np.exp(sigma * rng.standard_normal(25))
    factors: Reals = np.interp(hours - day * DAY_H, np.arange(25.0), points)
    return factors
