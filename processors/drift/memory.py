"""What a judge is told of the time before it: hours that were stored, and episodes that are open or over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...schemas.anomalies import Anomaly
from .hours import HOUR_MS
from .rules import DriftRules


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of one agent, as it was stored."""

    hour: int
    """Hours since the epoch."""
    levels: Mapping[str, tuple[float, int]]
    """Metric → level, and how many measurements it stands on."""


@dataclass(frozen=True, slots=True)
class Past:
    """An episode that was stored, as it stands now."""

    anomaly: Anomaly
    opened_ms: int

    @property
    def is_open(self) -> bool:
        return self.anomaly.state != "resolved"

    def is_accepted(self, rules: DriftRules) -> bool:
        """Whether it ended because its level became the usual one, and not because it went back."""
        value, usual = self.anomaly.value, self.anomaly.baseline
        lasted = self.anomaly.ts_ms - self.anomaly.onset_ms
        if self.is_open or not usual or lasted < rules.accept:
            return False
        return max(value, usual) > (1 + rules.step / 2) * min(value, usual)


@dataclass(slots=True)
class Memory:
    """Shared by the judges of a worker, which take from it what is about their agents. Filled anew now and then."""

    hours: Mapping[str, Sequence[Hour]] = field(default_factory=dict)
    episodes: Mapping[str, Sequence[Past]] = field(default_factory=dict)
    edition: int = 0
    """Grows with each filling."""

    def fill(self, hours: Mapping[str, Sequence[Hour]], episodes: Iterable[Past]) -> None:
        """Takes what was stored, all of it."""
        by_agent: dict[str, list[Past]] = {}
        for one in episodes:
            by_agent.setdefault(one.anomaly.agent, []).append(one)
        self.hours, self.episodes = hours, by_agent
        self.edition += 1

    def hours_of(self, agent: str, metric: str, rules: DriftRules) -> Iterable[tuple[int, float, int, bool]]:
        """Hour, level, count, and whether it lay in an episode; those before a level that was accepted are left out."""
        own = [
            one
            for one in self.episodes.get(agent, ())
            if one.anomaly.rule == f"drift.{metric}" and one.anomaly.tool is None and one.anomaly.agent_version is None
        ]
        accepted = [one for one in own if one.is_accepted(rules)]
        since = max((one.anomaly.onset_ms for one in accepted), default=0) // HOUR_MS
        others = [one for one in own if one not in accepted]
        for hour in self.hours.get(agent, ()):
            if metric in hour.levels and hour.hour >= since:
                yield hour.hour, *hour.levels[metric], any(_spans(one, hour.hour) for one in others)

    def open_of(self, agent: str) -> list[Past]:
        """The agent's open episodes."""
        return [one for one in self.episodes.get(agent, ()) if one.is_open]


def _spans(past: Past, hour: int) -> bool:
    """Whether any of the hour lay in the episode."""
    end_ms = None if past.is_open else past.anomaly.ts_ms
    return past.anomaly.onset_ms < (hour + 1) * HOUR_MS and (end_ms is None or end_ms > hour * HOUR_MS)
