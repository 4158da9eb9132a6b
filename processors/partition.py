"""The fold of one partition of the event topic: columns in, anomalies and finished window parts out.

Pure but for its own state: the same events in any frames give the same anomalies and the same tallies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from ..schemas.anomalies import Anomaly
from ..settings.section import Duration, Section
from . import loops
from .counts import FoldCounts
from .fleet.rules import FleetRules
from .fleet.tally import FleetTally
from .loops import LoopRules, Runaways
from .numbers import Numbers, Work, numbers_of
from .replay import stretch_start
from .runs import I64, Mask, RunTable
from .windows import CLOCK_SET_MS, Tally, WindowRules

EVENT_COLUMNS = (
    "run_id",
    "parent_run_id",
    "seq",
    "kind",
    "ts_ms",
    "agent",
    "agent_version",
    "model",
    "step_id",
    "tool",
    "args_sha",
    "result_sha",
    "duration_ms",
    "status",
    "error",
    "attempt",
    "http_status",
    "stop_reason",
    "outcome",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "tool_calls",
)
"""The columns of an event that the fold reads."""

BACKWARDS_MS = 60_000
"""How much older than its run's first event one may be: agents' threads may take turns."""
SWEEP_MS = 60_000
"""How often idle runs are looked for, log time."""


class RunRules(Section):
    """How long runs are remembered."""

    idle: Duration = Field(
        900_000,
        ge=60_000,
        description="A run with no event for so long, by log time, is forgotten; an ended one is known as long, "
        "so that what is resent of it is told.",
    )
    recall: Duration = Field(
        600_000,
        ge=0,
        description="How much of the log is read again for the sake of runs when a worker starts, beyond the stretch "
        "that its windows need.",
    )
    recall_events: int = Field(
        300_000,
        ge=0,
        description="Events that are read again for that at the most, all partitions of a worker together: a worker "
        "reads some 150,000 a second, and finds nothing meanwhile.",
    )
    most_ended: int = Field(
        200_000,
        ge=1_000,
        description="Ended runs that a partition remembers, some 150 bytes each; a busier one forgets them sooner.",
    )


class FoldRules(Section):
    """What the fold of a partition goes by."""

    loops: LoopRules = Field(default_factory=LoopRules)
    windows: WindowRules = Field(default_factory=WindowRules)
    runs: RunRules = Field(default_factory=RunRules)
    fleet: FleetRules = Field(default_factory=FleetRules)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Events of one frame, as numbers."""

    agents: pl.Series
    """Their agents' names."""
    stop_reasons: pl.Series
    numbers: Numbers
    work: Work


@dataclass(slots=True)
class Folded:
    """What came out of events that were folded in."""

    anomalies: list[Anomaly] = field(default_factory=list)
    parts: Iterator[dict[str, Any]] | None = None
    """Window parts of stretches of log time that these events ended, if they ended any; thousands, to be taken at
    leisure. They must be sent before the events are committed, since a replay begins at the stretch of the last
    committed event."""
    fleet_parts: list[dict[str, Any]] = field(default_factory=list)
    """The same, of what happens to the whole fleet."""
    fresh: Fresh | None = None
    """The events that were not seen before; None where there are none."""


class PartitionFold:
    """State of one partition."""

    def __init__(self, partition: int, rules: FoldRules) -> None:
        self.partition = partition
        self.rules = rules
        self.runs = RunTable()
        self._usual = Runaways(rules.loops.runaway)
        self.tally = Tally(partition, rules.windows)
        self.fleet = FleetTally(partition, rules.fleet, rules.windows.stretch)
        self.counts = FoldCounts()
        self.log_ms = 0
        """Log time up to which events were folded in."""
        self._swept_ms = 0
        self._aged_ms = 0
        self._stretch_ms = 0

    def add(self, columns: pl.DataFrame, offsets: I64, log_ms: int, *, whole: bool = True) -> Folded:
        """Folds events in, in offset order.

        `columns`: `EVENT_COLUMNS`; `offsets`: of each row; `log_ms`: log time of the last, in the same stretch
        as the others'; `whole`: whether all of that stretch is folded in, without which its windows are not tallied.
        """
        out = Folded()
        if not columns.height:
            return out
        # A broker that takes over from another may have a clock that is behind; a stretch that is over stays so.
        log_ms = self.log_ms = max(log_ms, self.log_ms)
        stretch_ms = stretch_start(log_ms, self.rules.windows.stretch)
        if stretch_ms > self._stretch_ms:
            out.parts = self.tally.changed(log_ms, over_ms=stretch_ms)
            out.fleet_parts = self.fleet.parts(log_ms, over_ms=stretch_ms)
            self._stretch_ms = stretch_ms
        self._sweep(log_ms)
        self._add(columns, offsets, log_ms, out, whole)
        return out

    def _add(self, columns: pl.DataFrame, offsets: I64, log_ms: int, out: Folded, whole: bool) -> None:
        numbers, work = numbers_of(columns)
        runs, first, which = np.unique(numbers.run, return_index=True, return_inverse=True)
        rows = self.runs.locate(runs, numbers.ts_ms[first], numbers.seq[first])[which]
        self.runs.touched_ms[rows] = log_ms
        keep = self.runs.fresh(rows, numbers.seq)
        if not keep.all():
            self.counts.repeats += int((~keep).sum())
            columns, numbers, rows, offsets = columns.filter(keep), numbers[keep], rows[keep], offsets[keep]
            work = work[keep]
        self.counts.events += len(keep)
        self._look_over(numbers, rows, log_ms)
        if not len(numbers):
            return
        out.fresh = Fresh(columns["agent"], columns["stop_reason"], numbers, work)
        if whole:
            self.tally.add(columns, log_ms, int(offsets[-1]) + 1)
        self.fleet.add(columns, log_ms, int(offsets[-1]) + 1)
        if not numbers.is_stop.any():
            out.anomalies = self._judge(columns, numbers, rows, offsets)
            return
        start = 0
        restarts, over = _stops(rows, numbers.is_stop)
        for end in [*restarts, len(numbers)]:
            piece = slice(start, end)
            out.anomalies += self._judge(columns[piece], numbers[piece], rows[piece], offsets[piece])
            stops = numbers.is_stop[piece]
            stopped, last_seq = rows[piece][stops], numbers.seq[piece][stops]
            self.counts.missing += self.runs.missing(stopped, last_seq)
            self.runs.restart(stopped, last_seq)
            start = end
        self.runs.end(over)

    def _judge(self, columns: pl.DataFrame, numbers: Numbers, rows: I64, offsets: I64) -> list[Anomaly]:
        """What these events show of their runs, of which none goes on after its stop."""
        at = np.flatnonzero(numbers.is_call)
        found = loops.find(self.runs, rows[at], loops.calls_of(numbers[at]), self.rules.loops) if len(at) else []
        anomalies = []
        for loop in found:
            place = int(at[loop.at])
            anomalies.append(loops.of_loop(loop, columns.row(place, named=True), self.partition, int(offsets[place])))
        for run in self._usual.find(self.runs, rows, numbers, columns["agent"]):
            event = columns.row(run.at, named=True)
            anomalies.append(loops.of_runaway(run, event, self.partition, int(offsets[run.at])))
        self.counts.anomalies += len(anomalies)
        return sorted(anomalies, key=lambda one: one.source_offset or 0)

    def _look_over(self, numbers: Numbers, rows: I64, log_ms: int) -> None:
        """Counts what cannot be as it says."""
        self.counts.ahead += int((numbers.ts_ms > log_ms + self.rules.windows.ahead).sum())
        self.counts.ancient += int((numbers.ts_ms < CLOCK_SET_MS).sum())
        self.counts.backwards += int((numbers.ts_ms < self.runs.first_ms[rows] - BACKWARDS_MS).sum())
        self.counts.nameless += int(numbers.nameless.sum())

    def _sweep(self, log_ms: int) -> None:
        """Forgets idle and ended runs, once in a while of log time, so that a replay forgets the same."""
        if log_ms - self._swept_ms < SWEEP_MS:
            return
        self._swept_ms = stretch_start(log_ms, SWEEP_MS)
        self.counts.unfinished += self.runs.forget(log_ms - self.rules.runs.idle)
        if log_ms - self._aged_ms >= self.rules.runs.idle or self.runs.ended >= self.rules.runs.most_ended:
            self._aged_ms = log_ms
            self.runs.age()


def _stops(rows: I64, stopped: Mask) -> tuple[list[int], I64]:
    """Places at which a run that stopped goes on, and the rows of the runs that do not.

    A run that goes on begins anew, as it would in a frame of its own.
    """
    _, which = np.unique(rows, return_inverse=True)
    last = np.empty(len(rows), np.int64)
    last[which] = np.arange(len(rows))
    ends = np.flatnonzero(stopped)
    is_over = last[which[ends]] == ends
    places: list[int] = []
    if not is_over.all():
        ended: set[int] = set()
        for at, (row, is_stop) in enumerate(zip(rows.tolist(), stopped.tolist(), strict=True)):
            if row in ended:
                places.append(at)
                ended.clear()
            if is_stop:
                ended.add(row)
    return places, rows[ends][is_over]
