"""The judge: windows of agents in, drift episodes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import TypeVar

from ...schemas.anomalies import Anomaly
from ...schemas.ids import derived_hex
from ..merge import Share, ToolWindow, Window
from . import sentences
from .cause import Causes
from .crowd import Crowd
from .episode import How, Turn
from .memory import Memory, Past
from .metrics import AGENT_METRICS, TOOL_METRICS, Metric
from .mix import MixTrack, MixTurn
from .rules import DriftRules
from .track import Track

FALL = "drift.fall"
"""The one rule that says that things got less; it is only worth knowing."""
STOP_MIX = "stop_reason_mix"
TOOL_MIX = "tool_mix"
# While one of these has an episode, the mix opens none.
_MIX_IMPLIED = {STOP_MIX: ("success",), TOOL_MIX: ("retries_per_call", "error_rate")}
_CLEARLY = 1.5
"""A version so many times worse than the next is named."""
Name = TypeVar("Name", str, str | None)
_MIX_LABELS = {STOP_MIX: "Stop reasons", TOOL_MIX: "The tools that are called"}


@dataclass(slots=True)
class _Agent:
    tracks: dict[str, Track]
    mixes: dict[str, MixTrack]
    versions: dict[str | None, dict[str, Track]] = field(default_factory=dict)
    tools: dict[str, dict[str, Track]] = field(default_factory=dict)
    """Both least recently heard first."""
    causes: Causes = field(default_factory=Causes)
    crowd: Crowd = field(default_factory=Crowd)
    fall: Anomaly | None = None
    episodes: dict[str, Anomaly] = field(default_factory=dict)
    """Those that are open, by id, as they were opened."""
    past: list[Past] = field(default_factory=list)
    """Stored episodes that were open, and are not taken up yet."""
    edition: int = 0
    """Of the memory, up to which it was taken in."""
    heard_ms: int | None = None
    """Log time of the last window, where an episode is open."""

    def begin_parts_anew(self) -> None:
        """After an episode of the agent's, its tools and versions are not told of as if theirs began then."""
        for parts in (self.tools.values(), self.versions.values()):
            for tracks in parts:
                for track in tracks.values():
                    if track.episode is None or not track.episode.is_told:
                        track.begin_anew()

    def is_open(self, names: tuple[str, ...]) -> bool:
        """Whether one of these metrics has gone bad for the agent as a whole."""
        return any(
            track.episode is not None and track.episode.is_told and track.episode.sign > 0
            for name in names
            if (track := self.tracks.get(name)) is not None
        )


class DriftJudge:
    """Judges the windows of all agents, each agent's in order.

    `judge` is fed with what `Merger.ready` hands out, an agent's windows and its tools' windows alike, and says what
    they open, escalate or resolve: nothing but the windows counts, so a backtest calls it just as the worker does.
    """

    def __init__(self, rules: DriftRules, memory: Memory | None = None) -> None:
        """`memory`: what is known of the time before; it may be filled, or filled anew, at any time."""
        self.rules = rules
        self._memory = memory or Memory()
        # Least recently heard first.
        self._agents: dict[str, _Agent] = {}
        self._tracks = 0
        # Agents with an episode that were heard since `silent` was last asked.
        self._heard: set[str] = set()
        self._with_episodes: set[str] = set()

    def __len__(self) -> int:
        """Agents, tools and versions that are known."""
        return self._tracks

    def judge(self, agent: str, window: Window | ToolWindow) -> list[Anomaly]:
        """What this window opens, escalates or resolves."""
        held = self._agents.pop(agent, None)
        if held is None:
            held = _Agent(
                {metric.name: Track(metric, self.rules, may_creep=True) for metric in AGENT_METRICS},
                {name: MixTrack(self.rules) for name in (STOP_MIX, TOOL_MIX)},
            )
            self._tracks += 1
        self._agents[agent] = held
        if held.edition < self._memory.edition:
            self._remember(agent, held)
        if held.past:
            self._take_up(agent, held, window.end_ms)
        if isinstance(window, ToolWindow):
            found = self._judge_tools(agent, held, window)
        else:
            found = self._judge_agent(agent, held, window)
        if held.episodes:
            self._with_episodes.add(agent)
            self._heard.add(agent)
        else:
            self._with_episodes.discard(agent)
        while self._tracks > self.rules.most_tracks and len(self._agents) > 1:
            self._forget(next(iter(self._agents)))
        return found

    def silent(self, log_ms: int) -> list[Anomaly]:
        """Resolves the episodes of agents of which nothing was heard for long, by log time."""
        found: list[Anomaly] = []
        for name in sorted(self._with_episodes):
            held = self._agents[name]
            if name in self._heard or held.heard_ms is None:
                held.heard_ms = log_ms
            elif log_ms - held.heard_ms > self.rules.silence:
                found += self._fall_silent(name, held)
                self._with_episodes.discard(name)
        self._heard.clear()
        return found

    def baselines(self) -> Mapping[tuple[str, str], float]:
        """(agent, metric) → the trailing baseline in force, for those that have one."""
        return {
            (agent, name): track.metric.value(level)
            for agent, held in self._agents.items()
            for name, track in held.tracks.items()
            if (level := track.baseline.trailing()) is not None
        }

    # -- the time before ----------------------------------------------------------------------------

    def _remember(self, agent: str, held: _Agent) -> None:
        """Takes in what was stored of an agent."""
        memory = self._memory
        is_first = held.edition == 0
        held.edition = memory.edition
        for metric in AGENT_METRICS:
            baseline = held.tracks[metric.name].baseline
            for hour, level, count, suspect in memory.hours_of(agent, metric.name, self.rules):
                baseline.recall(hour, level, count, suspect=suspect)
        if is_first:
            held.past = memory.open_of(agent)

    def _take_up(self, agent: str, held: _Agent, end_ms: int) -> None:
        """Goes on with stored episodes, once the windows have come to where they were opened."""
        due = [one for one in held.past if one.opened_ms <= end_ms]
        if not due:
            return
        held.past = [one for one in held.past if one.opened_ms > end_ms]
        for one in due:
            anomaly = one.anomaly
            name = anomaly.rule.removeprefix("drift.")
            if anomaly.rule == FALL:
                self._take_up_fall(held, one, end_ms)
            elif name in held.mixes:
                held.mixes[name].take_up(anomaly.onset_ms, end_ms)
                held.episodes[anomaly.anomaly_id] = anomaly
            elif (track := self._track_of(held, anomaly)) is not None:
                if track.episode is not None:
                    # The replay came to it by itself.
                    held.episodes.pop(track.episode.anomaly_id, None)
                    track.episode.anomaly_id = anomaly.anomaly_id
                    track.episode.onset_ms = anomaly.onset_ms
                else:
                    track.open(_turn_of(track.metric, one, self.rules), anomaly.anomaly_id)
                held.episodes[anomaly.anomaly_id] = anomaly

    def _take_up_fall(self, held: _Agent, past: Past, end_ms: int) -> None:
        """Which metrics fell is not stored: each that may have is taken to, and ends it once it is back."""
        anomaly = past.anomaly
        is_taken = False
        for track in held.tracks.values():
            reference = track.reference(end_ms)
            if track.episode is None and not track.metric.is_share and reference is not None:
                level = reference.below - log(self.rules.factor)
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

    def _track_of(self, held: _Agent, anomaly: Anomaly) -> Track | None:
        name = anomaly.rule.removeprefix("drift.")
        if anomaly.tool is not None:
            tracks = self._tracks_of(held.tools, anomaly.tool, TOOL_METRICS, self.rules.most_tools, None)
        elif anomaly.agent_version is not None:
            most = self.rules.most_versions
            tracks = self._tracks_of(held.versions, anomaly.agent_version, AGENT_METRICS, most, held)
        else:
            tracks = held.tracks
        return tracks.get(name)

    # -- levels ------------------------------------------------------------------------------------

    def _judge_agent(self, agent: str, held: _Agent, window: Window) -> list[Anomaly]:
        found: list[Anomaly] = []
        falls: list[tuple[Track, Turn]] = []
        held.crowd.add(window)
        held.causes.add_runs(window.sums["runs_stopped"], window.sums["tool_calls"])
        for metric in AGENT_METRICS:
            track = held.tracks[metric.name]
            for turn in track.add(window.start_ms, window.end_ms, window):
                if turn.how == "fall" and turn.state == "open":
                    falls.append((track, turn))
                else:
                    found += self._taken(agent, held, track, turn)
            found += self._uncovered(agent, held, track)
        found += self._fallen(agent, held, falls)
        counts = {reason: float(count) for reason, count in window.stop_reasons.items()}
        found += self._judge_mix(agent, held, STOP_MIX, window, counts, sum(counts.values()))
        if len(window.versions) > 1:
            found += self._judge_versions(agent, held, window)
        return found + self._gone(agent, held, window.end_ms)

    def _judge_versions(self, agent: str, held: _Agent, window: Window) -> list[Anomaly]:
        found: list[Anomaly] = []
        for version, share in _largest(window.versions, "events", self.rules.most_versions):
            tracks = self._tracks_of(held.versions, version, AGENT_METRICS, self.rules.most_versions, held)
            for track in tracks.values():
                for turn in track.add(window.start_ms, window.end_ms, share):
                    found += self._taken(agent, held, track, turn, version=version)
                found += self._uncovered(agent, held, track, version=version)
        return found

    def _judge_tools(self, agent: str, held: _Agent, window: ToolWindow) -> list[Anomaly]:
        found: list[Anomaly] = []
        held.causes.add_tools({tool: share.sums for tool, share in window.tools.items()})
        for tool, share in _largest(window.tools, "tool_calls", self.rules.most_tools):
            for track in self._tracks_of(held.tools, tool, TOOL_METRICS, self.rules.most_tools, None).values():
                for turn in track.add(window.start_ms, window.end_ms, share):
                    found += self._taken(agent, held, track, turn, tool=tool)
                found += self._uncovered(agent, held, track, tool=tool)
        counts = {tool: float(share.sums["tool_calls"]) for tool, share in window.tools.items()}
        # A run's calls hang together: the mix is of as many things as there are runs.
        runs = sum(counts.values()) * held.causes.runs_per_call
        return found + self._judge_mix(agent, held, TOOL_MIX, window, counts, runs)

    def _tracks_of(
        self,
        held: dict[str, dict[str, Track]] | dict[str | None, dict[str, Track]],
        name: str | None,
        metrics: tuple[Metric, ...],
        most: int,
        fallback: _Agent | None,
    ) -> dict[str, Track]:
        """The tracks of a tool or version, which is the last heard now."""
        by_name: dict[str | None, dict[str, Track]] = held  # type: ignore[assignment]
        tracks = by_name.pop(name, None)
        if tracks is None:
            self._tracks += 1
            tracks = {
                metric.name: Track(
                    metric, self.rules, None if fallback is None else fallback.tracks[metric.name].baseline
                )
                for metric in metrics
            }
        by_name[name] = tracks
        # Twice as many as are judged at a time: who is the largest changes.
        for other in list(by_name):
            if len(by_name) <= 2 * most:
                break
            if all(track.episode is None for track in by_name[other].values()):
                del by_name[other]
                self._tracks -= 1
        return tracks

    # -- episodes ----------------------------------------------------------------------------------

    def _taken(
        self, agent: str, held: _Agent, track: Track, turn: Turn, version: str | None = None, tool: str | None = None
    ) -> list[Anomaly]:
        """The anomaly of a turn; none of a proposal that says what is said already."""
        metric = track.metric
        if turn.state != "open":
            if not turn.anomaly_id:
                return []
            if turn.anomaly_id == (held.fall.anomaly_id if held.fall else None):
                return self._risen(agent, held, turn)
            message = sentences.sentence(metric, _subject(agent, version, tool), turn)
            anomaly = _told(held.episodes[turn.anomaly_id], metric, turn, message)
            if turn.state == "resolved":
                del held.episodes[turn.anomaly_id]
                if track is held.tracks.get(metric.name):
                    held.begin_parts_anew()
            return [anomaly]
        if turn.how == "fall":
            return []
        if metric.sums and tool is None and held.crowd.is_one_run(turn.onset_ms, steps=metric.is_of_steps):
            return []
        if held.is_open(_said_by(held, track)):
            track.cover(turn)
            return []
        return [self._opened(agent, held, track, turn, version, tool)]

    def _uncovered(
        self, agent: str, held: _Agent, track: Track, version: str | None = None, tool: str | None = None
    ) -> list[Anomaly]:
        """An episode that was not spoken of while another said the same, and that outlasts it."""
        if track.episode is None or track.episode.is_told:
            return []
        if held.is_open(_said_by(held, track)):
            track.still_covered()
            return []
        turn = track.uncovered()
        return [] if turn is None else [self._opened(agent, held, track, turn, version, tool)]

    def _opened(
        self, agent: str, held: _Agent, track: Track, turn: Turn, version: str | None, tool: str | None
    ) -> Anomaly:
        metric = track.metric
        is_part = track is not held.tracks.get(metric.name)
        rule = f"drift.{metric.name}"
        about = () if not is_part else ("tool", tool) if tool is not None else ("version", version)
        anomaly_id = derived_hex(rule, agent, *about, turn.onset_ms)
        if track.episode is None:
            track.open(turn, anomaly_id)
        else:
            track.episode.anomaly_id = anomaly_id
        cause = "" if is_part else held.causes.of(metric.name) or _version_to_blame(held, metric, turn)
        opened = Anomaly(
            anomaly_id=anomaly_id,
            rule=rule,
            state="open",
            severity=turn.severity,
            ts_ms=turn.ts_ms,
            onset_ms=turn.onset_ms,
            agent=agent,
            agent_version=version,
            tool=tool,
            value=metric.value(turn.level),
            baseline=metric.value(turn.usual),
            message=sentences.sentence(metric, _subject(agent, version, tool), turn, cause),
        )
        held.episodes[anomaly_id] = opened
        return opened

    def _fallen(self, agent: str, held: _Agent, falls: list[tuple[Track, Turn]]) -> list[Anomaly]:
        """One anomaly for all that falls at a time, and what falls later joins it in silence."""
        if not falls:
            return []
        found = []
        if held.fall is None:
            proposed = {track.metric.name for track, _ in falls}
            others = ((track, track.lowered()) for name, track in held.tracks.items() if name not in proposed)
            falls = falls + [(track, lowered) for track, lowered in others if lowered is not None]
            track, turn = falls[0]
            anomaly_id = derived_hex(FALL, agent, turn.onset_ms)
            held.fall = Anomaly(
                anomaly_id=anomaly_id,
                rule=FALL,
                state="open",
                severity="info",
                ts_ms=turn.ts_ms,
                onset_ms=turn.onset_ms,
                agent=agent,
                value=track.metric.value(turn.level),
                baseline=track.metric.value(turn.usual),
                message=sentences.fell(agent, [(one.metric, its) for one, its in falls]),
            )
            held.episodes[anomaly_id] = held.fall
            found.append(held.fall)
        for track, turn in falls:
            track.open(turn, held.fall.anomaly_id)
        return found

    def _risen(self, agent: str, held: _Agent, turn: Turn) -> list[Anomaly]:
        """The end of a fall: with the last of its metrics."""
        fall = held.fall
        if fall is None or any(
            track.episode is not None and track.episode.anomaly_id == fall.anomaly_id for track in held.tracks.values()
        ):
            return []
        held.fall = None
        del held.episodes[fall.anomaly_id]
        return [replace(fall, state="resolved", ts_ms=turn.ts_ms, message=sentences.risen_again(agent, turn))]

    def _judge_mix(
        self, agent: str, held: _Agent, name: str, window: Window | ToolWindow, counts: Mapping[str, float], runs: float
    ) -> list[Anomaly]:
        mix, rule = held.mixes[name], f"drift.{name}"
        found = []
        for turn in mix.add(window.start_ms, window.end_ms, counts, runs):
            if turn.state == "open":
                if held.is_open(_MIX_IMPLIED[name]):
                    continue
                mix.open(turn)
            anomaly = _mix_told(rule, agent, name, turn)
            if turn.state == "open":
                held.episodes[anomaly.anomaly_id] = anomaly
            else:
                held.episodes.pop(anomaly.anomaly_id, None)
            found.append(anomaly)
        return found

    def _fall_silent(self, agent: str, held: _Agent) -> list[Anomaly]:
        found: list[Anomaly] = []
        for track in held.tracks.values():
            for turn in track.fell_silent():
                found += self._taken(agent, held, track, turn)
        for version, tracks in held.versions.items():
            for track in tracks.values():
                for turn in track.fell_silent():
                    found += self._taken(agent, held, track, turn, version=version)
        for tool, tracks in held.tools.items():
            for track in tracks.values():
                for turn in track.fell_silent():
                    found += self._taken(agent, held, track, turn, tool=tool)
        for name, mix in held.mixes.items():
            for end in mix.fell_silent():
                anomaly = _mix_told(f"drift.{name}", agent, name, end)
                held.episodes.pop(anomaly.anomaly_id, None)
                found.append(anomaly)
        return found

    def _gone(self, agent: str, held: _Agent, now_ms: int) -> list[Anomaly]:
        """Ends the episodes of versions and tools that are used no more, while their agent goes on."""
        found: list[Anomaly] = []
        for opened in [one for one in held.episodes.values() if one.tool is not None or one.agent_version is not None]:
            track = self._track_of(held, opened)
            if track is not None and now_ms - track.heard_ms > self.rules.silence:
                for turn in track.fell_silent():
                    found += self._taken(agent, held, track, turn, opened.agent_version, opened.tool)
        return found

    def _forget(self, name: str) -> None:
        held = self._agents.pop(name)
        self._tracks -= 1 + len(held.versions) + len(held.tools)
        self._heard.discard(name)
        self._with_episodes.discard(name)


def _turn_of(metric: Metric, past: Past, rules: DriftRules) -> Turn:
    """The turn that opened a stored episode, as far as that can be told."""
    anomaly = past.anomaly
    level = metric.level(anomaly.value)
    usual = level if anomaly.baseline is None else metric.level(anomaly.baseline)
    how: How = "factor" if level - usual >= log(rules.factor) else "step"
    return Turn("open", how, anomaly.severity, anomaly.onset_ms, past.opened_ms, level, usual)


def _told(opened: Anomaly, metric: Metric, turn: Turn, message: str) -> Anomaly:
    """A later state of an episode."""
    return replace(
        opened,
        state=turn.state,
        severity=turn.severity,
        ts_ms=turn.ts_ms,
        value=metric.value(turn.level),
        baseline=metric.value(turn.usual),
        message=message,
    )


def _mix_told(rule: str, agent: str, name: str, turn: MixTurn) -> Anomaly:
    label = _MIX_LABELS[name]
    return Anomaly(
        anomaly_id=derived_hex(rule, agent, turn.onset_ms),
        rule=rule,
        state=turn.state,
        severity="warning",
        ts_ms=turn.ts_ms,
        onset_ms=turn.onset_ms,
        agent=agent,
        value=turn.value,
        baseline=turn.baseline,
        message=sentences.mix_sentence(label, agent, turn),
    )


def _version_to_blame(held: _Agent, metric: Metric, turn: Turn) -> str:
    """A sentence that names the version that runs beside others and is far worse than they are."""
    levels = {
        version: (track.last_level, track.end_ms)
        for version, tracks in held.versions.items()
        if (track := tracks[metric.name]).last_level is not None
    }
    now = [
        (level, version) for version, (level, end_ms) in levels.items() if level is not None and end_ms == turn.ts_ms
    ]
    if len(now) < 2:
        return ""
    (worst, version), (second, _) = sorted(now, key=lambda one: (-one[0], str(one[1])))[:2]
    is_clear = worst - second >= log(_CLEARLY) and second - turn.usual < log(_CLEARLY)
    return f"It is version {version}'s." if is_clear else ""


def _said_by(held: _Agent, track: Track) -> tuple[str, ...]:
    """The agent's metrics whose episodes say what one of this track would."""
    metric = track.metric
    return metric.implied_by if track is held.tracks.get(metric.name) else (*metric.implied_by, metric.name)


def _subject(agent: str, version: str | None, tool: str | None) -> str:
    if tool is not None:
        return f"{tool} ({agent})"
    return agent if version is None else f"{agent} {version}"


def _largest(shares: Mapping[Name, Share], count: str, most: int) -> Iterator[tuple[Name, Share]]:
    """The `most` shares that have the highest count, in the order of their names."""
    names = sorted(shares, key=lambda name: (-shares[name].sums[count], str(name)))[:most]
    return ((name, shares[name]) for name in sorted(names, key=str))
