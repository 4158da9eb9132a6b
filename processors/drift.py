"""Drift: an agent's windows held against what its windows were before.

A metric is hot in a window when it is `factor` times its baseline, the median of the trailing windows; an
episode opens when every window with enough in it has been hot for `sustain_ms`, and is resolved when as
many as `cool_windows` in a row are back below `resolve_factor`. Windows of an episode, and those that may
yet become one, stay out of the baseline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from ..schemas.anomalies import Anomaly
from ..schemas.ids import derived_hex
from . import sketch
from .merge import Window


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a window has, if enough went into it."""

    name: str
    label: str
    """For people: what rose."""
    unit: str
    floor: float
    """A baseline below it counts as this much: twice next to nothing is next to nothing."""
    weight: Callable[[Window], float]
    """How much went into the number: runs, requests or calls."""
    value: Callable[[Window], float | None]


def _runs(window: Window, metric: str) -> int:
    return sum(window.sketches[metric].values())


def _ratio(total: float, count: float) -> float | None:
    return total / count if count else None


METRICS: tuple[Metric, ...] = (
    Metric(
        "tool_calls_per_run",
        "Tool calls a run",
        "",
        1.0,
        lambda w: _runs(w, "run_tool_calls"),
        lambda w: _ratio(w.sums["run_tool_calls_sum"], _runs(w, "run_tool_calls")),
    ),
    Metric(
        "latency_p95",
        "Run latency (p95)",
        " ms",
        100.0,
        lambda w: _runs(w, "run_ms"),
        lambda w: sketch.quantile(w.sketches["run_ms"], 0.95),
    ),
    Metric(
        "spend_per_run",
        "Spend a run",
        " USD",
        0.0001,
        lambda w: _runs(w, "run_cost_usd"),
        lambda w: _ratio(w.sums["run_cost_usd_sum"], _runs(w, "run_cost_usd")),
    ),
    Metric(
        "tokens_per_request",
        "Tokens a request",
        "",
        50.0,
        lambda w: w.sums["model_calls"],
        lambda w: _ratio(w.sums["input_tokens"] + w.sums["output_tokens"], w.sums["model_calls"]),
    ),
    Metric(
        "retries_per_call",
        "Retries a tool call",
        "",
        0.05,
        lambda w: w.sums["tool_calls"],
        lambda w: _ratio(w.sums["retries"], w.sums["tool_calls"]),
    ),
)


@dataclass(frozen=True, slots=True)
class DriftRules:
    """Thresholds of the drift rules."""

    factor: float = 2.0
    sustain_ms: int = 600_000
    least_weight: int = 5
    """Runs (or requests, or calls) that a window needs to be judged."""
    baseline_windows: int = 60
    least_windows: int = 15
    """Windows that a baseline needs before anything is held against it."""
    resolve_factor: float = 1.5
    cool_windows: int = 5


@dataclass(slots=True)
class _Track:
    """One metric of one agent."""

    history: deque[float]
    hot: list[tuple[int, float]] = field(default_factory=list)
    """Window start and value of the hot windows in a row."""
    open: Anomaly | None = None
    cool: list[float] = field(default_factory=list)


class DriftJudge:
    """Judges the windows of all agents, each agent's in order."""

    def __init__(self, rules: DriftRules) -> None:
        self.rules = rules
        self._tracks: dict[tuple[str, str], _Track] = {}

    def judge(self, agent: str, window: Window) -> list[Anomaly]:
        """What this window opens or resolves."""
        found = []
        for metric in METRICS:
            value = metric.value(window)
            if value is None or metric.weight(window) < self.rules.least_weight:
                continue
            track = self._tracks.setdefault((agent, metric.name), _Track(deque(maxlen=self.rules.baseline_windows)))
            anomaly = (
                self._opened(agent, metric, track, window, value)
                if track.open is None
                else self._resolved(metric, track, track.open, window, value)
            )
            if anomaly:
                found.append(anomaly)
        return found

    def baselines(self) -> Mapping[tuple[str, str], float]:
        """(agent, metric) → baseline in force, for those that have one."""
        return {
            key: median(track.history)
            for key, track in self._tracks.items()
            if len(track.history) >= self.rules.least_windows
        }

    def _opened(self, agent: str, metric: Metric, track: _Track, window: Window, value: float) -> Anomaly | None:
        if len(track.history) < self.rules.least_windows:
            track.history.append(value)
            return None
        baseline = max(median(track.history), metric.floor)
        if value < self.rules.factor * baseline:
            # It was no drift: what looked like one is history like the rest.
            track.history.extend(one for _, one in track.hot)
            track.hot.clear()
            track.history.append(value)
            return None
        if track.hot and window.start_ms - track.hot[-1][0] > self.rules.sustain_ms:
            # Nothing was known for as long as it takes: what came before the gap says nothing about now.
            track.hot.clear()
        track.hot.append((window.start_ms, value))
        onset_ms = track.hot[0][0]
        if window.end_ms - onset_ms < self.rules.sustain_ms:
            return None
        level = median(one for _, one in track.hot)
        minutes = (window.end_ms - onset_ms) // 60_000
        rule = f"drift.{metric.name}"
        track.open = Anomaly(
            anomaly_id=derived_hex(rule, agent, onset_ms),
            rule=rule,
            state="open",
            severity="warning",
            ts_ms=window.end_ms,
            onset_ms=onset_ms,
            agent=agent,
            value=level,
            baseline=baseline,
            message=(
                f"{metric.label} of {agent}: {_shown(level)}{metric.unit} for {minutes} minutes, "
                f"{level / baseline:.1f} times the usual {_shown(baseline)}{metric.unit}."
            ),
        )
        track.hot.clear()
        return track.open

    def _resolved(self, metric: Metric, track: _Track, opened: Anomaly, window: Window, value: float) -> Anomaly | None:
        baseline = opened.baseline or metric.floor
        if value >= self.rules.resolve_factor * baseline:
            track.cool.clear()
            return None
        track.cool.append(value)
        if len(track.cool) < self.rules.cool_windows:
            return None
        level = median(track.cool)
        track.history.extend(track.cool)
        track.cool.clear()
        track.open = None
        return Anomaly(
            anomaly_id=opened.anomaly_id,
            rule=opened.rule,
            state="resolved",
            severity=opened.severity,
            ts_ms=window.end_ms,
            onset_ms=opened.onset_ms,
            agent=opened.agent,
            value=level,
            baseline=opened.baseline,
            message=(
                f"{metric.label} of {opened.agent} is back to {_shown(level)}{metric.unit} "
                f"(usual: {_shown(baseline)}{metric.unit})."
            ),
        )


def _shown(value: float) -> str:
    """Three significant digits, and no exponent where people read."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
