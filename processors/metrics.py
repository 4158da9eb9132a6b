"""A worker's metrics: what its loop notes, and what Prometheus is told of it.

The loop writes, the scrape reads: whole objects are replaced, so that neither waits for the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import get_args

from prometheus_client import Metric as Family

from ..metrics import names
from ..metrics.agents import AgentTotals
from ..metrics.families import named, single, spreads, valued
from ..metrics.labels import OTHER
from ..metrics.spread import Spread
from ..schemas.anomalies import Anomaly, Severity, State
from ..schemas.controls import Mode
from ..schemas.rule_names import NEVER_CRITICAL, RULES
from .frames import Frame
from .measure import Measure
from .partition import Fresh

AMISS = ("repeats", "missing", "unfinished", "ahead", "ancient", "backwards", "nameless", "unreadable")
"""Counts of a worker that should be nothing."""
FAMILIES = tuple(dict.fromkeys(rule.partition(".")[0] for rule in RULES))
MODES = (*get_args(Mode), "dry")
_RULES = frozenset(RULES)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a worker is at a moment."""

    at_s: float = 0.0
    """Unix time."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """As `runwatch status` knows them."""
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Topic and partition → messages that wait."""
    controls: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Kind of scope and mode → commands in force."""
    commands: Mapping[str, int] = field(default_factory=dict)
    """Mode → commands that the policy gave; `dry` are those that it would have given."""
    window_parts: int = 0
    """Window parts in memory."""
    held: Mapping[str, bool] = field(default_factory=dict)
    """Topic → whether it is not read on, since too much of it cannot be."""


class WorkerMetrics:
    """What a worker notes for Prometheus, and tells it."""

    def __init__(self) -> None:
        self._agents = AgentTotals()
        self._measure = Measure(self._agents.row, self._agents.most)
        self._sizes: dict[str, Spread] = {}
        self._seconds: dict[str, Spread] = {}
        self._delays = {family: Spread(names.DETECTION_DELAY.bounds) for family in FAMILIES}
        # So that the first of a kind is a rise that Prometheus sees.
        self._anomalies: Counter[tuple[str, str, str]] = Counter(
            {
                (rule, severity, state): 0
                for rule, severity, state in product(RULES, ("warning", "critical"), get_args(State))
                if severity != "critical" or rule not in NEVER_CRITICAL
            }
        )
        self._standing = Standing()

    # -- noting, in the loop -----------------------------------------------------------------------

    def worked(self, frame: Frame, seconds: float) -> None:
        """A frame was worked on."""
        if frame.replay:
            return
        topic = frame.topic
        if topic not in self._sizes:
            self._seconds[topic] = Spread(names.FRAME_SECONDS.bounds)
            self._sizes[topic] = Spread(names.FRAME_EVENTS.bounds)
        self._sizes[topic].add(len(frame))
        self._seconds[topic].add(seconds)

    def read(self, events: Fresh | None) -> None:
        """Events of a live frame."""
        if events is not None and self._measure.keep(events):
            self.add_up()

    def add_up(self) -> None:
        """Adds up what was read since the last time."""
        numbers = self._measure.take()
        if numbers is not None:
            self._agents.add(numbers)

    def said(self, anomalies: Iterable[Anomaly], now_ms: int) -> None:
        """Anomalies were said."""
        for one in anomalies:
            rule = one.rule if one.rule in _RULES else OTHER
            severity = one.severity if one.severity in get_args(Severity) else OTHER
            self._anomalies[rule, severity, one.state] += 1
            family = rule.partition(".")[0]
            if one.state == "open" and family in self._delays:
                self._delays[family].add(max(0.0, (now_ms - one.ts_ms) / 1000))

    def stands(self, standing: Standing) -> None:
        """Once a second: adds up what was read, and keeps how the worker is."""
        self.add_up()
        self._standing = standing

    # -- telling, in the server's thread -----------------------------------------------------------

    def collect(self) -> Iterator[Family]:
        """All of it, as it is now."""
        yield from self._agents.collect()
        now = self._standing
        counts = now.counts
        yield valued(names.AGENT_ANOMALIES, list(self._anomalies.copy().items()))
        yield named(names.AGENT_COMMANDS, {mode: now.commands.get(mode, 0) for mode in MODES})
        yield valued(names.AGENT_CONTROLS, now.controls.items())
        if now.at_s:
            yield valued(names.TICK, [(("processors",), now.at_s)])
        yield valued(names.LAG, [(("processors", topic, str(at)), lag) for (topic, at), lag in now.lag.items()])
        yield valued(names.HELD, [(("processors", topic), held) for topic, held in now.held.items()])
        yield spreads(names.FRAME_EVENTS, self._sizes.copy())
        yield spreads(names.FRAME_SECONDS, self._seconds.copy())
        yield single(names.REPLAYED, counts.get("replayed", 0))
        yield named(names.AMISS, {what: counts.get(what, 0) for what in AMISS})
        yield single(names.OPEN_RUNS, counts.get("open_runs", 0))
        yield single(names.OPEN_WINDOWS, now.window_parts)
        yield single(names.TRACKS, counts.get("tracks", 0))
        yield single(names.WINDOW_PARTS, counts.get("window_parts", 0))
        yield spreads(names.DETECTION_DELAY, self._delays)
