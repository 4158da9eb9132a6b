"""Scenarios' events, in event-time order: all that happens in the world of some agents, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
import polars as pl

from .columns import events_of
from .profile import Agent
from .scenarios import START_MS, Scenario
from .work import DAY_MS, draw_runs


def history(scenarios: Sequence[Scenario], seed: int = 1, first_day: int = 0) -> Iterator[pl.DataFrame]:
    """A day of events at a time, as `events_of` gives them, ordered by event time throughout.

    An agent's events are the same whichever others there are. The same seed gives the same events.
    `first_day`: those before it are left out, for who has less time than a history takes.
    """
    carried: list[pl.DataFrame] = []
    for day in range(first_day, max(scenario.days for scenario in scenarios)):
        drawn = [
            agent_day(agent, day, seed) for scenario in scenarios if day < scenario.days for agent in scenario.agents
        ]
        events = pl.concat([*carried, *drawn]).sort("ts_ms", maintain_order=True)
        # A run that is under way at midnight goes on in the next day's piece.
        today = events["ts_ms"].search_sorted(START_MS + (day + 1) * DAY_MS)
        carried = [events[today:]]
        yield events[:today]
    yield carried[0]


def agent_day(agent: Agent, day: int, seed: int = 1) -> pl.DataFrame:
    """The events of the runs that the agent begins on that day (from 0)."""
    name = agent.profile.agent
    rng = np.random.default_rng([seed, crc32(name.encode()), day])
    return events_of(agent, draw_runs(agent, day, rng), f"{name}/{day}/", START_MS, rng)
