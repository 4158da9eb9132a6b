"""`fleet.failing`: the same call, with the same arguments, fails for many runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ...schemas.anomalies import Anomaly, Severity
from . import sample
from .episodes import Episode, Finding, agent_of, clock, counted
from .merge import Failing, FleetWindow
from .rules import FailingRules

MOST_CALLS = 20_000
"""Calls that are remembered; beyond it, those that fail for the fewest runs are forgotten."""

Call = tuple[str, str]


@dataclass(slots=True)
class _Track:
    windows: deque[tuple[int, Failing]] = field(default_factory=deque)
    """Start of a window, and what happened in it."""
    episode: Episode | None = None


class FailingJudge:
    """Judges the fleet's windows, in order."""

    def __init__(self, rules: FailingRules) -> None:
        self.rules = rules
        self._tracks: dict[Call, _Track] = {}

    @property
    def tracked(self) -> int:
        """How many calls are remembered."""
        return len(self._tracks)

    def judge(self, window: FleetWindow) -> list[Anomaly]:
        """What this window opens, escalates or resolves."""
        for call, failing in window.failing.items():
            self._tracks.setdefault(call, _Track()).windows.append((window.start_ms, failing))
        found: list[Anomaly] = []
        for call in sorted(self._tracks):
            track = self._tracks[call]
            while track.windows and track.windows[0][0] < window.end_ms - self.rules.within:
                track.windows.popleft()
            if anomaly := self._judged(call, track, window):
                found.append(anomaly)
            if not track.windows and track.episode is None:
                del self._tracks[call]
        if len(self._tracks) > MOST_CALLS:
            self._forget()
        return found

    def _judged(self, call: Call, track: _Track, window: FleetWindow) -> Anomaly | None:
        rules = self.rules
        # Most calls fail for a run or two: those need no closer look.
        if track.episode is None and sum(len(one.runs) for _, one in track.windows) < rules.least_runs:
            return None
        runs = sample.union(one.runs for _, one in track.windows)
        count, calls = sample.count(runs), sum(one.calls for _, one in track.windows)
        failures = sum(one.failures for _, one in track.windows)
        share = failures / calls if calls else 0.0
        if track.episode is not None and (count < max(1, rules.least_runs // 2) or share < rules.share / 2):
            opened, track.episode = track.episode, None
            message = (
                f"{call[0]} no longer fails for many runs with the arguments {call[1]}, as it did since "
                f"{clock(opened.onset_ms)}."
            )
            return opened.resolved(window.end_ms, float(count), message)
        severity: Severity | None = None
        if count >= rules.least_runs and share >= rules.share:
            severity = "critical" if count >= rules.critical_runs else "warning"
        if severity is None or (track.episode is not None and not track.episode.is_worse(severity)):
            return None
        onset_ms = next(start for start, one in track.windows if one.failures)
        if track.episode is None:
            track.episode = Episode.about("fleet.failing", *call, onset_ms=onset_ms, tool=call[0])
        onset_ms = track.episode.onset_ms
        agents = sample.agents(runs)
        errors = sorted({one.error for _, one in track.windows if one.error})
        examples = sorted(sample.examples(one.named for _, one in track.windows).values())
        return track.episode.found(
            Finding(
                severity,
                window.end_ms,
                float(count),
                agent_of(agents),
                f"{call[0]} fails for {counted(count, 'run')} of {counted(len(agents), 'agent')} with the same "
                f"arguments ({call[1]}) since {clock(onset_ms)}: {failures:,} of {calls:,} such calls"
                f"{', with ' + ' or '.join(errors[:2]) if errors else ''} (runs {', '.join(examples)}"
                f"{' …' if count > len(examples) else ''}).",
            )
        )

    def _forget(self) -> None:
        def loudness(call: Call) -> tuple[bool, int, Call]:
            track = self._tracks[call]
            return track.episode is not None, sum(len(one.runs) for _, one in track.windows), call

        for call in sorted(self._tracks, key=loudness)[: len(self._tracks) - MOST_CALLS // 2]:
            del self._tracks[call]
