"""`fleet.retries` and `fleet.timeouts`: a share of a tool's calls, all over the fleet, far above what it is used to.

A window is hot when the share is above `factor` times the median of the tool's windows before, and above
`least_share`; an episode opens when every window has been hot for `sustain`, in enough calls of enough runs. Hot
windows, and those of an episode, stay out of what is usual.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from ...schemas.anomalies import Anomaly, Severity
from . import sample
from .episodes import Episode, Finding, agent_of, clock, counted
from .merge import FleetWindow, Hits
from .rules import StormRules

MOST_TOOLS = 10_000
"""Tools that are remembered; beyond it, those that were silent longest are forgotten."""

MOST_HOT = 240
"""Hot windows that are remembered, where they are too small for an episode."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is the matter with the calls."""

    rule: str
    happens: str
    """After a tool's name: what it does."""
    calls: str
    """After a share: of which calls."""
    hint: str


RETRIES = Kind("fleet.retries", "is retried all over the fleet", "were retries or answered 429 or 5xx", "")
TIMEOUTS = Kind(
    "fleet.timeouts", "times out all over the fleet", "timed out", " The trouble is upstream of the agents."
)


@dataclass(slots=True)
class _Track:
    history: deque[float]
    hot: list[tuple[int, Hits]] = field(default_factory=list)
    """Start and hits of the hot windows in a row."""
    episode: Episode | None = None
    threshold: float = 0.0
    """What was too much when the episode opened."""
    usual: float | None = None
    """What was usual then."""
    cool_since_ms: int | None = None
    seen_ms: int = 0


class StormJudge:
    """Judges the fleet's windows, in order, for one kind of trouble."""

    def __init__(self, kind: Kind, rules: StormRules) -> None:
        self.kind = kind
        self.rules = rules
        self._tracks: dict[str, _Track] = {}

    @property
    def tracked(self) -> int:
        """How many tools are remembered."""
        return len(self._tracks)

    def judge(self, window: FleetWindow, tools: Mapping[str, Hits]) -> list[Anomaly]:
        """What this window opens, escalates or resolves. `tools`: each tool's calls in it."""
        found: list[Anomaly] = []
        for tool, hits in sorted(tools.items()):
            track = self._tracks.setdefault(tool, _Track(deque(maxlen=self.rules.baseline_windows)))
            track.seen_ms = window.end_ms
            anomaly = (
                self._watched(tool, track, window, hits)
                if track.episode is None
                else self._followed(tool, track, track.episode, window, hits)
            )
            if anomaly:
                found.append(anomaly)
        if len(self._tracks) > MOST_TOOLS:
            quietest = sorted(self._tracks, key=lambda tool: (self._tracks[tool].seen_ms, tool))
            for tool in quietest[: len(self._tracks) - MOST_TOOLS // 2]:
                del self._tracks[tool]
        return found

    def _watched(self, tool: str, track: _Track, window: FleetWindow, hits: Hits) -> Anomaly | None:
        rules = self.rules
        track.usual = median(track.history) if len(track.history) >= rules.least_windows else None
        track.threshold = (
            rules.young_share if track.usual is None else min(1.0, max(rules.least_share, rules.factor * track.usual))
        )
        if _share(hits) < track.threshold:
            # It was no storm: what looked like one is history like the rest.
            for _, one in [*track.hot, (window.start_ms, hits)]:
                if one.calls >= rules.window_calls:
                    track.history.append(_share(one))
            track.hot.clear()
            return None
        if track.hot and window.start_ms - track.hot[-1][0] > max(rules.sustain, window.end_ms - window.start_ms):
            # Nothing was known for as long as it takes: what came before the gap says nothing about now.
            track.hot.clear()
        track.hot.append((window.start_ms, hits))
        del track.hot[:-MOST_HOT]
        if window.end_ms - track.hot[0][0] < rules.sustain:
            return None
        severity = self._severity(track, window)
        if severity is None:
            return None
        track.episode = Episode.about(self.kind.rule, tool, onset_ms=track.hot[0][0], tool=tool)
        track.cool_since_ms = None
        return track.episode.found(self._finding(tool, track, window, severity))

    def _followed(self, tool: str, track: _Track, episode: Episode, window: FleetWindow, hits: Hits) -> Anomaly | None:
        rules = self.rules
        if _share(hits) >= rules.resolve_factor * track.threshold:
            track.cool_since_ms = None
            track.hot.append((window.start_ms, hits))
            # Only what is judged is kept: the latest `sustain`, or what there is of it.
            since = window.end_ms - max(rules.sustain, window.end_ms - window.start_ms)
            track.hot = [one for one in track.hot if one[0] >= since]
            severity = self._severity(track, window)
            if severity is None or not episode.is_worse(severity):
                return None
            return episode.found(self._finding(tool, track, window, severity))
        if track.cool_since_ms is None:
            track.cool_since_ms = window.start_ms
        if window.end_ms - track.cool_since_ms < rules.cool:
            return None
        track.episode = None
        track.hot.clear()
        message = (
            f"{tool}: {_percent(_share(hits))} of its calls {self.kind.calls} of late; the trouble that began "
            f"{clock(episode.onset_ms)} is over."
        )
        return episode.resolved(window.end_ms, _share(hits), message)

    def _severity(self, track: _Track, window: FleetWindow) -> Severity | None:
        rules, recent = self.rules, [one for _, one in track.hot]
        calls = sum(one.calls for one in recent)
        runs = sample.count(sample.union(one.runs for one in recent))
        if calls < rules.least_calls or runs < rules.least_runs:
            return None
        share = sum(one.hits for one in recent) / calls
        return "critical" if share >= rules.critical_share and runs >= rules.critical_runs else "warning"

    def _finding(self, tool: str, track: _Track, window: FleetWindow, severity: Severity) -> Finding:
        recent = [one for _, one in track.hot]
        calls, hits = sum(one.calls for one in recent), sum(one.hits for one in recent)
        runs = sample.union(one.runs for one in recent)
        agents = sample.agents(runs)
        usual = "" if track.usual is None else f" (usual: {_percent(track.usual)})"
        return Finding(
            severity,
            window.end_ms,
            hits / calls,
            agent_of(agents),
            f"{tool} {self.kind.happens}: {_percent(hits / calls)} of its {calls:,} calls since "
            f"{clock(track.hot[0][0])} {self.kind.calls}{usual}, in {counted(sample.count(runs), 'run')} of "
            f"{counted(len(agents), 'agent')}.{self.kind.hint}",
            baseline=track.usual,
        )


def _share(hits: Hits) -> float:
    return hits.hits / hits.calls if hits.calls else 0.0


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"
