"""How a judge takes in what was stored of the time before: hours, and episodes that are open."""

from __future__ import annotations

from collections.abc import Callable
from math import log

from ...schemas.anomalies import Anomaly
from .agent import Agent
from .episode import How, Turn
from .memory import Memory, Past
from .metrics import Metric
from .rules import DriftRules
from .told import FALL
from .track import Track


def remember(agent: str, held: Agent, memory: Memory, rules: DriftRules) -> None:
    """Takes in what was stored of an agent, as far as that is new."""
    if held.edition >= memory.edition:
        return
    for name, track in held.tracks.items():
        for hour, level, count, suspect in memory.hours_of(agent, name, rules):
            track.baseline.recall(hour, level, count, suspect=suspect)
    if held.edition == 0:
        held.past = memory.open_of(agent)
    held.edition = memory.edition


def take_up(held: Agent, end_ms: int, rules: DriftRules, track_of: Callable[[Anomaly], Track | None]) -> None:
    """Goes on with stored episodes, once the windows have come to where they were opened."""
    due = [one for one in held.past if one.opened_ms <= end_ms]
    if not due:
        return
    held.past = [one for one in held.past if one.opened_ms > end_ms]
    for one in due:
        anomaly = one.anomaly
        name = anomaly.rule.removeprefix("drift.")
        if anomaly.rule == FALL:
            _take_up_fall(held, one, end_ms, rules)
        elif name in held.mixes:
            held.mixes[name].take_up(anomaly.onset_ms, end_ms)
            # The replay may have come to it by itself.
            held.episodes = {key: other for key, other in held.episodes.items() if other.rule != anomaly.rule}
            held.episodes[anomaly.anomaly_id] = anomaly
        elif (track := track_of(anomaly)) is not None:
            if track.episode is None:
                track.open(_turn_of(track.metric, one, rules), anomaly.anomaly_id)
            elif track.episode.how != "fall":
                held.episodes.pop(track.episode.anomaly_id, None)
                track.episode.anomaly_id = anomaly.anomaly_id
                track.episode.onset_ms = anomaly.onset_ms
            held.episodes[anomaly.anomaly_id] = anomaly


def _take_up_fall(held: Agent, past: Past, end_ms: int, rules: DriftRules) -> None:
    """Which metrics fell is not stored: each that may have is taken to, and ends it once it is back."""
    anomaly = past.anomaly
    is_taken = False
    for track in held.tracks.values():
        reference = track.reference(end_ms)
        if track.episode is None and not track.metric.is_share and reference is not None:
            level = reference.below - log(rules.factor)
            turn = Turn("open", "fall", "info", anomaly.onset_ms, past.opened_ms, level, reference.level)
            track.open(turn, anomaly.anomaly_id)
        if track.episode is not None and track.episode.how == "fall":
            track.episode.anomaly_id = anomaly.anomaly_id
            is_taken = True
    if not is_taken:
        # Nothing is known yet that it could be held against.
        held.past.append(past)
        return
    if held.fall is not None:
        held.episodes.pop(held.fall.anomaly_id, None)
    held.fall = held.episodes[anomaly.anomaly_id] = anomaly


def _turn_of(metric: Metric, past: Past, rules: DriftRules) -> Turn:
    """The turn that opened a stored episode, as far as that can be told."""
    anomaly = past.anomaly
    level = metric.level(anomaly.value)
    usual = level if anomaly.baseline is None else metric.level(anomaly.baseline)
    how: How = "factor" if level - usual >= log(rules.factor) else "step"
    return Turn("open", how, anomaly.severity, anomaly.onset_ms, past.opened_ms, level, usual)
