"""What a simulated fleet is made of, and what happens to it.

The figures are those of the incident that this project was made from: mean tool calls a run 4.3 -> 11.7,
p95 latency 2.1 s -> 8.4 s, spend a run doubled, and a success rate that stays near 91 %. The tests hold
the fleet to them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """One agent: what it is, what it calls, and what its model costs."""

    agent: str
    version: str
    model: str
    share: float
    """Its part of the fleet; only the ratio to others' counts."""
    tools: tuple[tuple[str, float, float], ...]
    """Name, how often beside the others, and median duration in seconds."""
    usd_per_input_token: float
    usd_per_output_token: float

    def uses(self, tool: str) -> bool:
        """Whether it is one of the agent's tools."""
        return any(name == tool for name, _, _ in self.tools)


@dataclass(frozen=True, slots=True)
class Incident:
    """A tool begins to answer 429 and 503 now and then, and agents' retries were raised, without jitter."""

    tool: str = "http.get"
    version: str = "2.1.1"
    """The release of the agents that use the tool in which retries were raised; it came with the onset."""
    failing: float = 0.525
    """The chance that a try of it fails."""
    retries: int = 8
    """How often a failed call is tried again, in the place of 2."""
    wait_s: float = 0.22
    """Before each retry; always the same."""
    asks_again: float = 0.05
    """The chance that a retry is the model's decision, and costs a model call, rather than the client's."""
    looks_elsewhere: float = 0.8
    """The chance that an answer that took retries is not trusted, and another one is looked for."""
    stuck: float = 0.03
    """The part of runs that come to repeat themselves, for 12 to 24 calls."""
    endless: float = 0.25
    """The part of these that do not come out of it so soon: they go on for `endless_calls`."""
    endless_calls: tuple[int, int] = (50, 120)
    """The fewest and the most: the safe default budgets, which end a run at 200 calls, play no part."""
    dithers: float = 16.0
    """How many times as long a model that has lost itself so far takes for each turn."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """A fleet."""

    agents: int = 120
    """How many work at a time; most of them wait for their next task."""
    pause_s: float = 60.0
    """From one task's end to the next one's beginning, on average."""
    seed: int = 1
    profiles: tuple[Profile, ...] = (
        Profile(
            "research", "2.1.0", "claude-sonnet-4-5", 4.0,
            (("http.get", 7.0, 0.11), ("web.search", 2.0, 0.09), ("notes.write", 1.0, 0.02)),
            3e-6, 15e-6,
        ),
        Profile(
            "support", "1.4.2", "gpt-4.1", 3.0,
            (("kb.search", 4.0, 0.08), ("crm.get_customer", 2.0, 0.06), ("order.lookup", 3.0, 0.07),
             ("ticket.update", 1.0, 0.05)),
            2e-6, 8e-6,
        ),
        Profile(
            "billing", "3.0.1", "gpt-4.1", 2.0,
            (("sql.query", 5.0, 0.1), ("invoice.get", 3.0, 0.06), ("email.send", 1.0, 0.09)),
            2e-6, 8e-6,
        ),
        Profile(
            "coder", "0.9.3", "claude-sonnet-4-5", 1.0,
            (("file.read", 5.0, 0.02), ("shell.run", 3.0, 0.15), ("file.write", 2.0, 0.02)),
            3e-6, 15e-6,
        ),
    )  # fmt: skip
    """`research` is the one whose work is mostly `http.get`: the incident is its."""
    incident: Incident = Incident()
