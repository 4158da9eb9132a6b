"""What a simulated agent is like, and what changes about it.

A profile holds an agent's ordinary life; a change alters some of it for a while. Both are plain settings:
`work.py` draws runs from them, `columns.py` writes these as events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DAY_H = 24.0


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of an agent."""

    name: str
    weight: float
    """How often it is called beside the others."""
    median_ms: float
    tail: float = 0.6
    """Sigma of the log-normal that a call's duration follows: 1 is a heavy tail."""
    failing: float = 0.02
    """The chance that a try fails on a good day."""


@dataclass(frozen=True, slots=True)
class Profile:
    """An agent's ordinary life."""

    agent: str
    tools: tuple[Tool, ...]
    runs_per_min: float = 2.5
    """At the busiest time of a working day."""
    version: str = "1.0.0"
    model: str = "gpt-4.1"
    mean_calls: float = 4.3
    """Logical tool calls a run, retries left out; never under 1 nor over `most_calls`."""
    calls_tail: float = 0.55
    most_calls: int = 28
    """With 28 a run has 3 to about 60 steps."""
    model_ms: float = 700.0
    tokens: float = 1_800.0
    """Median input tokens of a run's first request; each further one reads some more."""
    tokens_tail: float = 0.45
    written: float = 90.0
    """Median output tokens of a request."""
    usd_per_input: float = 2e-6
    usd_per_output: float = 8e-6
    retries: int = 2
    """How often a failed call is tried again."""
    success: float = 0.925
    """Share of runs that stop with `success`."""
    outcome: float = 0.92
    """Share of the judged runs with `success` whose outcome is good; the others' never is."""
    judged: float = 0.4
    """Share of the runs whose outcome anybody judges."""
    loops: float = 0.0
    """Share of runs that repeat themselves until they are stopped with `loop_detected`."""
    night_traffic: float = 0.2
    """Traffic in the deepest night, as a part of the busiest hour's."""
    weekend_traffic: float = 0.4
    night_work: float = 1.0
    """What runs take in the deepest night, calls and tokens, as a multiple of the day's."""
    hourly: float = 0.05
    """Sigma of what an hour is like beside the others: tasks and providers are not the same all day."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is different for a while. Factors multiply; what is None stays as it is."""

    begin_h: float
    """Hours since the history began."""
    end_h: float = np.inf
    ramp_h: float = 0.0
    """Over how long it comes in, in a straight line: a factor of 2.2 in 120 hours is 1 % an hour."""
    share: float = 1.0
    """The part of the runs that meet it."""
    traffic: float = 1.0
    calls: float = 1.0
    tokens: float = 1.0
    price: float = 1.0
    latency: float = 1.0
    """Of tools and model."""
    version: str | None = None
    model: str | None = None
    outcome: float | None = None
    loops: float | None = None
    tool: str | None = None
    """The tool that `failing`, `statuses` and `looks_elsewhere` speak of."""
    failing: float | None = None
    statuses: tuple[int, ...] = ()
    """HTTP statuses that it fails with; none means that it fails by timeouts."""
    retries: int | None = None
    looks_elsewhere: float = 0.0
    """The chance that an answer that took retries is not trusted, and another one is looked for."""
    stop_reason: str | None = None
    """How many a run ends in which a call fails for good; only of the runs that it concerns."""
    huge: int | None = None
    """The first run that meets it makes so many calls; it concerns no other."""

    def weight(self, hours: Reals) -> Reals:
        """How far it has come in at these times: 0 outside, 1 when it is all there."""
        inside = (hours >= self.begin_h) & (hours < self.end_h)
        come = np.minimum((hours - self.begin_h) / self.ramp_h, 1.0) if self.ramp_h else np.ones_like(hours)
        return np.where(inside, come, 0.0)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent in a scenario."""

    profile: Profile
    changes: tuple[Change, ...] = ()
    first_h: float = 0.0
    """When it is first used."""
    last_h: float = np.inf


def daylight(hours: Reals) -> Reals:
    """From 0 in the deepest night, at 2, to 1 at 14."""
    light: Reals = 0.5 - 0.5 * np.cos(2 * np.pi * (hours - 2.0) / DAY_H)
    return light


def traffic(agent: Agent, hours: Reals) -> Reals:
    """Runs a minute at these times; history begins on a Monday."""
    profile = agent.profile
    light = daylight(hours)
    rate = profile.runs_per_min * (profile.night_traffic + (1 - profile.night_traffic) * light)
    rate = np.where(hours // DAY_H % 7 >= 5, rate * profile.weekend_traffic, rate)
    for change in agent.changes:
        rate = rate * (1 + (change.traffic - 1) * change.weight(hours))
    return np.where((hours >= agent.first_h) & (hours < agent.last_h), rate, 0.0)
