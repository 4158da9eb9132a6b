"""One task of a simulated agent: all that its run follows from, so that the same run can be lived again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ..run import Run
from ..usage import StopReport
from .behaviour import Worker
from .settings import Incident, Profile


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is to do next."""

    run_id: str
    profile: Profile
    seed: str
    """Of the run's own random numbers: nothing that happens to other runs changes this one."""
    incident: Incident | None
    """If there was one when the run began."""

    @property
    def meets_incident(self) -> bool:
        """Whether the agent uses the tool that the incident is about."""
        return self.incident is not None and self.profile.uses(self.incident.tool)

    @property
    def version(self) -> str:
        """What the agent's code was when the run began."""
        return self.incident.version if self.incident and self.meets_incident else self.profile.version

    def worker(self, run: Run) -> Worker:
        """Who does it, in a run."""
        chance = Random(self.seed)  # nosec B311  # a seed makes it the same
        return Worker(run, self.profile, chance, self.incident if self.meets_incident else None)


@dataclass(frozen=True, slots=True)
class Life:
    """What a run came to."""

    tool_calls: int
    cost_usd: float
    stop_reason: str


def life(report: StopReport) -> Life:
    """What a run came to, from what its `stop` answers."""
    usage = report["usage"]
    return Life(usage["tool_calls"], usage["cost_usd"], report["stop_reason"])


@dataclass(frozen=True, slots=True)
class Stopped:
    """A run that the guard ended, by a command or by a budget."""

    task: Task
    life: Life
    """Up to there."""
    at_ms: int
    """When, by the fleet's clock."""
    sentence: str
    """What the agent's code was told."""
    logged_at: tuple[float, ...]
    """When each event of the run was logged, by `seq`: the machine's own clock, in seconds, of no date."""
    refused_at: float
    """When the call was refused that ended it, by the same clock."""
