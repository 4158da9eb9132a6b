"""What the load sends: a made-up fleet, minute by minute, the same for the same seed.

A minute's events are planned by themselves, so that neither the sender nor who checks needs all of them in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runwatch.bench.fleet import FleetShape, Plan
from runwatch.bench.messages import Writer

CHUNK_S = 60
AGENTS, TOOLS = 40, 15
"""Fewer than the benches have: each agent, tool and partition is a part of a window of its own, and what is to be tried
here is not how many of these there can be."""


@dataclass(frozen=True)
class Traffic:
    """The load's settings, from which all that it sends follows."""

    seed: int
    rate: int
    """Good events a second."""
    start_ms: int
    """Event time of the first."""
    corrupt_share: float = 0.01

    def chunk(self, number: int) -> Writer:
        """The events of a minute, and how to write them."""
        events = self.rate * CHUNK_S
        shape = FleetShape(
            events=events, agents=AGENTS, tools=TOOLS, open_runs=min(20_000, events // 40),
            seed=1_000 * self.seed + number,
        )  # fmt: skip
        plan = Plan(shape)
        return Writer(plan, self.start_ms + 1000 * CHUNK_S * number, self.rate)

    def sent(self, events: int) -> Iterator[tuple[Writer, int]]:
        """The chunks of the first `events` events, and how many of each were sent."""
        number = 0
        while events > 0:
            writer = self.chunk(number)
            count = min(events, self.planned(writer))
            yield writer, count
            events -= count
            number += 1

    def planned(self, writer: Writer) -> int:
        """Events of a chunk. Its last run is not cut short, so that a chunk may be a few events longer than a minute;
        these are left out, for the next to begin in time."""
        return min(len(writer.plan), self.rate * CHUNK_S)
