"""The judge: windows of agents in, drift episodes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from ...schemas.anomalies import Anomaly
from ...schemas.ids import derived_hex
from ..merge import Share, ToolWindow, Window
from . import sentences
from .agent import Agent
from .episode import Turn
from .memory import Memory
from .metrics import AGENT_METRICS, TOOL_METRICS, Metric
from .mix import MixTrack
from .rules import DriftRules
from .takeup import remember, take_up
from .told import FALL, MIX_NAMES, STOP_MIX, TOOL_MIX, mix_told, subject_of, told
from .track import Track

# While one of these has an episode, the mix opens none.
_MIX_IMPLIED = {STOP_MIX: ("success",), TOOL_MIX: ("retries_per_call", "error_rate")}
Name = TypeVar("Name", str, str | None)


class DriftJudge:
    """Judges the windows of all agents, each agent's in order.

    `judge` is fed with what `Merger.ready` hands out, an agent's windows and its tools' windows alike, and says what
    they open, escalate or resolve: nothing but the windows counts, so a backtest calls it just as the worker does.
    """

    def __init__(self, rules: DriftRules, memory: Memory | None = None) -> None:
        """`memory`: what is known of the time before; it may be filled, or filled anew, at any time."""
        self.rules = rules
        self._agent_metrics = tuple(metric for metric in AGENT_METRICS if metric.name in rules.track)
        self._tool_metrics = tuple(metric for metric in TOOL_METRICS if metric.name in rules.track)
        self._mixes = tuple(mix for mix, name in MIX_NAMES.items() if name in rules.track)
        self._memory = memory or Memory()
        # Least recently heard first.
        self._agents: dict[str, Agent] = {}
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
            held = Agent(
                {metric.name: Track(metric, self.rules, may_creep=True) for metric in self._agent_metrics},
                {name: MixTrack(self.rules) for name in self._mixes},
            )
            self._tracks += 1
        self._agents[agent] = held
        remember(agent, held, self._memory, self.rules)
        if held.past:
            take_up(held, window.end_ms, self.rules, lambda anomaly: self._track_of(held, anomaly))
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

    def _track_of(self, held: Agent, anomaly: Anomaly) -> Track | None:
        name = anomaly.rule.removeprefix("drift.")
        if anomaly.tool is not None:
            tracks = self._tracks_of(held.tools, anomaly.tool, self._tool_metrics, self.rules.most_tools, None)
        elif anomaly.agent_version is not None:
            most = self.rules.most_versions
            tracks = self._tracks_of(held.versions, anomaly.agent_version, self._agent_metrics, most, held)
        else:
            tracks = held.tracks
        return tracks.get(name)

    # -- levels ------------------------------------------------------------------------------------

    def _judge_agent(self, agent: str, held: Agent, window: Window) -> list[Anomaly]:
        found: list[Anomaly] = []
        falls: list[tuple[Track, Turn]] = []
        held.crowd.add(window)
        held.causes.add_runs(window.sums["runs_stopped"], window.sums["tool_calls"])
        for metric in self._agent_metrics:
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

    def _judge_versions(self, agent: str, held: Agent, window: Window) -> list[Anomaly]:
        found: list[Anomaly] = []
        for version, share in _largest(window.versions, "events", self.rules.most_versions):
            tracks = self._tracks_of(held.versions, version, self._agent_metrics, self.rules.most_versions, held)
            for track in tracks.values():
                for turn in track.add(window.start_ms, window.end_ms, share):
                    found += self._taken(agent, held, track, turn, version=version)
                found += self._uncovered(agent, held, track, version=version)
        return found

    def _judge_tools(self, agent: str, held: Agent, window: ToolWindow) -> list[Anomaly]:
        found: list[Anomaly] = []
        held.causes.add_tools({tool: share.sums for tool, share in window.tools.items()})
        for tool, share in _largest(window.tools, "tool_calls", self.rules.most_tools):
            for track in self._tracks_of(held.tools, tool, self._tool_metrics, self.rules.most_tools, None).values():
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
        fallback: Agent | None,
    ) -> dict[str, Track]:
        """The tracks of a tool or version, which is the last heard now."""
        by_name: dict[str | None, dict[str, Track]] = held  # type: ignore[assignment]
        tracks = by_name.pop(name, None)
        if tracks is None:
            self._tracks += 1
            tracks = {
                metric.name: Track(metric, self.rules, None if fallback is None else fallback.tracks[metric.name])
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
        self, agent: str, held: Agent, track: Track, turn: Turn, version: str | None = None, tool: str | None = None
    ) -> list[Anomaly]:
        """The anomaly of a turn; none of a proposal that says what is said already."""
        metric = track.metric
        if turn.state != "open":
            if not turn.anomaly_id:
                return []
            if turn.anomaly_id == (held.fall.anomaly_id if held.fall else None):
                return self._risen(agent, held, turn)
            message = sentences.sentence(metric, subject_of(agent, version, tool), turn)
            opened = held.episodes.get(turn.anomaly_id)
            if opened is None:
                # It was taken for a stored one.
                return []
            anomaly = told(opened, metric, turn, message)
            if turn.state == "resolved":
                del held.episodes[turn.anomaly_id]
                if track is held.tracks.get(metric.name):
                    held.begin_parts_anew()
            return [anomaly]
        if turn.how == "fall":
            return []
        if metric.sums and tool is None and held.crowd.is_one_run(turn.onset_ms, steps=metric.is_of_steps):
            return []
        if held.is_open(held.said_by(track)):
            track.cover(turn)
            return []
        return [self._opened(agent, held, track, turn, version, tool)]

    def _uncovered(
        self, agent: str, held: Agent, track: Track, version: str | None = None, tool: str | None = None
    ) -> list[Anomaly]:
        """An episode that was not spoken of while another said the same, and that outlasts it."""
        if track.episode is None or track.episode.is_told:
            return []
        if held.is_open(held.said_by(track)):
            track.still_covered()
            return []
        turn = track.uncovered()
        return [] if turn is None else [self._opened(agent, held, track, turn, version, tool)]

    def _opened(
        self, agent: str, held: Agent, track: Track, turn: Turn, version: str | None, tool: str | None
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
        cause = "" if is_part else held.causes.of(metric.name) or held.version_to_blame(metric, turn)
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
            message=sentences.sentence(metric, subject_of(agent, version, tool), turn, cause),
        )
        held.episodes[anomaly_id] = opened
        return opened

    def _fallen(self, agent: str, held: Agent, falls: list[tuple[Track, Turn]]) -> list[Anomaly]:
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

    def _risen(self, agent: str, held: Agent, turn: Turn) -> list[Anomaly]:
        """The end of a fall: with the last of its metrics."""
        fall = held.fall
        if fall is None or any(
            track.episode is not None and track.episode.anomaly_id == fall.anomaly_id for track in held.tracks.values()
        ):
            return []
        held.fall = None
        held.episodes.pop(fall.anomaly_id, None)
        return [replace(fall, state="resolved", ts_ms=turn.ts_ms, message=sentences.risen_again(agent, turn))]

    def _judge_mix(
        self, agent: str, held: Agent, name: str, window: Window | ToolWindow, counts: Mapping[str, float], runs: float
    ) -> list[Anomaly]:
        mix, rule = held.mixes.get(name), f"drift.{name}"
        if mix is None:
            return []
        found = []
        for turn in mix.add(window.start_ms, window.end_ms, counts, runs):
            if turn.state == "open":
                if held.is_open(_MIX_IMPLIED[name]):
                    continue
                mix.open(turn)
            anomaly = mix_told(rule, agent, name, turn)
            if turn.state == "open":
                held.episodes[anomaly.anomaly_id] = anomaly
            else:
                held.episodes.pop(anomaly.anomaly_id, None)
            found.append(anomaly)
        return found

    def _fall_silent(self, agent: str, held: Agent) -> list[Anomaly]:
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
                anomaly = mix_told(f"drift.{name}", agent, name, end)
                held.episodes.pop(anomaly.anomaly_id, None)
                found.append(anomaly)
        return found

    def _gone(self, agent: str, held: Agent, now_ms: int) -> list[Anomaly]:
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


def _largest(shares: Mapping[Name, Share], count: str, most: int) -> Iterator[tuple[Name, Share]]:
    """The `most` shares that have the highest count, in the order of their names."""
    names = sorted(shares, key=lambda name: (-shares[name].sums[count], str(name)))[:most]
    return ((name, shares[name]) for name in sorted(names, key=str))
