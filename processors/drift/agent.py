"""What is known of one agent: its tracks, its mixes, and the episodes that are open."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

from ...schemas.anomalies import Anomaly
from .cause import Causes
from .crowd import Crowd
from .episode import Turn
from .memory import Past
from .metrics import Metric
from .mix import MixTrack
from .track import Track

CLEARLY = 1.5
"""A version so many times worse than the next is named."""


@dataclass(slots=True)
class Agent:
    """One agent."""

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

    def said_by(self, track: Track) -> tuple[str, ...]:
        """The agent's metrics whose episodes say what one of this track would."""
        metric = track.metric
        return metric.implied_by if track is self.tracks.get(metric.name) else (*metric.implied_by, metric.name)

    def version_to_blame(self, metric: Metric, turn: Turn) -> str:
        """A sentence that names the version that runs beside others and is far worse than they are."""
        tracks = {version: own[metric.name] for version, own in self.versions.items()}
        now = [
            (track.last_level, version)
            for version, track in tracks.items()
            if track.last_level is not None and track.end_ms == turn.ts_ms
        ]
        if len(now) < 2:
            return ""
        (worst, version), (second, _) = sorted(now, key=lambda one: (-one[0], str(one[1])))[:2]
        is_clear = worst - second >= log(CLEARLY) and second - turn.usual < log(CLEARLY)
        return f"It is version {version}'s." if is_clear else ""
