"""What a scenario's anomalies are worth: whether the incident was seen, how soon, and what was said wrongly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...schemas.anomalies import Anomaly
from ..errors import BenchError
from .profile import DAY_H
from .scenarios import START_MS, Scenario

AFTER_H = 1.0
"""So long after its end an incident may still be spoken of."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Episode:
    """What became a warning or worse, once however often it was spoken of."""

    rule: str
    agent: str
    run_id: str | None
    tool: str | None
    hours: float
    """When it became one, event time, in hours since the history began."""
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One scenario's."""

    scenario: Scenario
    delay_min: float | None
    """From the onset to the first episode that sees the incident, in minutes of event time; None where none does."""
    rules: tuple[str, ...]
    """The rules by which it was seen, the first first."""
    wrong: tuple[Episode, ...]
    """Episodes in which nothing was the matter."""

    @property
    def seen(self) -> bool:
        """Whether it was seen in time."""
        return self.delay_min is not None and self.delay_min <= self.scenario.within_min


def episodes(anomalies: Iterable[Anomaly]) -> list[Episode]:
    """The episodes among these anomalies, which come in the order in which they were found."""
    found: dict[str, Episode] = {}
    for one in anomalies:
        if one.severity != "info" and one.state != "resolved" and one.anomaly_id not in found:
            hours = (one.ts_ms - START_MS) / _HOUR_MS
            found[one.anomaly_id] = Episode(one.rule, one.agent, one.run_id, one.tool, hours, one.message)
    return list(found.values())


def verdicts(
    scenarios: Sequence[Scenario], found: Iterable[Episode], looping: Collection[str] = ()
) -> dict[str, Verdict]:
    """Each scenario's verdict, by name. `looping`: the runs that were made to loop, of which loops are rightly said.

    Raises `BenchError` for an episode of no scenario's agent or tool.
    """
    owners = _owners(scenarios)
    own: dict[str, list[Episode]] = {scenario.name: [] for scenario in scenarios}
    for episode in found:
        # What is said of a whole fleet names the tool, if no agent of ours.
        owner = owners.get(episode.agent) or owners.get(episode.tool or "")
        if owner is None:
            raise BenchError(f"{episode.rule} speaks of nobody's agent and nobody's tool: {episode.message}")
        own[owner].append(episode)
    return {scenario.name: _verdict(scenario, own[scenario.name], looping) for scenario in scenarios}


def quiet_days(scenario: Scenario) -> float:
    """Agent-days in which nothing is the matter, and which count."""
    days = 0.0
    for agent in scenario.agents:
        begin = max(agent.first_h, scenario.judged_from_h)
        end = min(agent.last_h, scenario.days * DAY_H)
        days += (min(end, scenario.onset_h) if scenario.onset_h is not None else end) - begin
        if scenario.over_h is not None:
            days += end - scenario.over_h - AFTER_H
    return days / DAY_H


def _owners(scenarios: Sequence[Scenario]) -> Mapping[str, str]:
    """Agent or tool → the scenario that it is of."""
    owners: dict[str, str] = {}
    for scenario in scenarios:
        for agent in scenario.agents:
            for name in (agent.profile.agent, *(tool.name for tool in agent.profile.tools)):
                owners[name] = scenario.name
    return owners


def _verdict(scenario: Scenario, found: Sequence[Episode], looping: Collection[str]) -> Verdict:
    told = sorted(found, key=lambda episode: episode.hours)
    onset_h = scenario.onset_h
    during = [one for one in told if onset_h is not None and one.hours >= onset_h and scenario.sees(one.rule)]
    timely = [one for one in during if (one.hours - (onset_h or 0)) * 60 <= scenario.within_min] or during[:1]
    return Verdict(
        scenario,
        delay_min=round((during[0].hours - (onset_h or 0)) * 60, 1) if during else None,
        rules=tuple(dict.fromkeys(one.rule for one in timely)),
        wrong=tuple(one for one in told if not _is_right(scenario, one, looping)),
    )


def _is_right(scenario: Scenario, episode: Episode, looping: Collection[str]) -> bool:
    if episode.hours < scenario.judged_from_h or scenario.allows(episode.rule):
        return True
    if episode.run_id is not None and episode.run_id in looping:
        return True
    if scenario.onset_h is None or episode.hours < scenario.onset_h:
        return False
    return scenario.over_h is None or episode.hours <= scenario.over_h + AFTER_H
