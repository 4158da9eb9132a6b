"""The processors' work on frames: events in, anomalies and window parts out; window parts in, drift out.

No Faust and no Kafka here: frames come in, and messages go out by a function that is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from ..schemas.anomalies import Anomaly
from ..schemas.registry import Registry
from .counts import FoldCounts
from .decode import FrameDecoder
from .drift import DriftJudge
from .drift.memory import Memory
from .frames import Frame
from .judging import JudgedTopic, Look, passed
from .merge import TOOL_COLUMNS, Merger
from .partition import EVENT_COLUMNS, Folded, PartitionFold
from .rules import Rules


@dataclass(slots=True)
class Counts:
    """What a worker has met since it began; what was replayed is counted apart."""

    frames: int = 0
    replayed: int = 0
    unreadable: int = 0
    """Messages that could not be read; the sink keeps them in the dead letters."""
    fold: FoldCounts = field(default_factory=FoldCounts)


class EventWatch:
    """The event topic's side: one fold a partition."""

    def __init__(self, registry: Registry, rules: Rules) -> None:
        self._decoder = FrameDecoder("agent_event", registry, EVENT_COLUMNS)
        self._rules = rules
        self._folds: dict[int, tuple[int, PartitionFold]] = {}
        # Partitions that were read to their ends.
        self._caught_up: set[int] = set()
        self.look: Look = passed
        self.counts = Counts()

    def take(self, frame: Frame) -> Folded:
        """Folds a frame in. A replayed one says nothing."""
        fold = self._fold(frame)
        (self._caught_up.discard if frame.behind else self._caught_up.add)(frame.partition)
        decoded = self._decoder.decode(frame)
        self.look(frame, decoded.bad)
        *columns, at = decoded.columns.get_columns()
        before = replace(fold.counts)
        offsets = np.asarray(frame.offsets, np.int64)[at.to_numpy()]
        out = fold.add(pl.DataFrame(columns), offsets, frame.log_ms, whole=frame.whole)
        if frame.replay:
            self.counts.replayed += len(frame)
            return Folded()
        self.counts.frames += 1
        self.counts.unreadable += len(decoded.bad)
        self.counts.fold += fold.counts - before
        return out

    def parts(self, partition: int, now_ms: int) -> Iterator[dict[str, Any]]:
        """The partition's window parts to send now, to be taken at leisure; none where it is not ours.

        While there is more to read, now is the log's time: to who lags, everybody seems to have fallen silent.
        """
        held = self._folds.get(partition)
        if held is None:
            return iter(())
        return held[1].tally.changed(now_ms if partition in self._caught_up else held[1].log_ms)

    def group(self, partition: int) -> None:
        """Does now what `parts` would begin with: half of its work, between which and the rest others have a turn."""
        held = self._folds.get(partition)
        if held is not None:
            held[1].tally.group()

    def fleet_parts(self, partition: int, now_ms: int) -> list[dict[str, Any]]:
        """As `parts`: the partition's fleet parts to send now."""
        held = self._folds.get(partition)
        if held is None:
            return []
        return held[1].fleet.parts(now_ms if partition in self._caught_up else held[1].log_ms)

    def keep_only(self, partitions: Iterable[int]) -> None:
        """Lets go of the partitions that were taken away."""
        kept = set(partitions)
        self._folds = {partition: held for partition, held in self._folds.items() if partition in kept}

    @property
    def partitions(self) -> list[int]:
        return sorted(self._folds)

    @property
    def open_runs(self) -> int:
        return sum(len(fold.runs) for _, fold in self._folds.values())

    @property
    def window_parts(self) -> int:
        """Window parts that are held."""
        return sum(fold.tally.groups for _, fold in self._folds.values())

    @property
    def overflowing(self) -> int:
        """Events of tools that were one too many for their windows."""
        return sum(fold.tally.overflowing for _, fold in self._folds.values())

    def _fold(self, frame: Frame) -> PartitionFold:
        held = self._folds.get(frame.partition)
        if held is None or held[0] != frame.epoch:
            held = (frame.epoch, PartitionFold(frame.partition, self._rules.fold))
            self._folds[frame.partition] = held
        return held[1]


class WindowJudge:
    """What is known of one partition of the windows: parts that wait for their windows, and what is usual."""

    def __init__(self, rules: Rules, memory: Memory | None) -> None:
        self.merger = Merger(rules.merge)
        self.drift = DriftJudge(rules.drift, memory)

    def take(self, columns: pl.DataFrame, frame: Frame) -> list[Anomaly]:
        """Merges a frame's parts and judges the windows that are whole."""
        # Tools' parts are many, and little is read of them.
        for some in (
            columns.filter(pl.col("tool").is_null()),
            columns.filter(pl.col("tool").is_not_null()).select(TOOL_COLUMNS),
        ):
            for part in some.iter_rows(named=True):
                self.merger.add(part, frame.log_ms)
        return self.quiet(frame.log_ms)

    def quiet(self, now_ms: int) -> list[Anomaly]:
        """Judges what no partition will add to any more, and agents that fell silent."""
        found = [anomaly for agent, window in self.merger.ready(now_ms) for anomaly in self.drift.judge(agent, window)]
        return found + self.drift.silent(now_ms)


class WindowWatch(JudgedTopic[WindowJudge, Anomaly]):
    """The window topic's side: parts of all partitions of an agent come together here, and are judged."""

    def __init__(self, registry: Registry, rules: Rules, memory: Memory | None = None) -> None:
        """`memory`: what is known of the time before; it may be filled at any time."""
        super().__init__(FrameDecoder("window_part", registry), lambda: WindowJudge(rules, memory))

    @property
    def late(self) -> int:
        """Parts that came after their window was judged."""
        return sum(judge.merger.late for judge in self.judges)

    @property
    def tracks(self) -> int:
        """Metrics of agents, versions and tools that are followed."""
        return sum(len(judge.drift) for judge in self.judges)


def stamped(anomalies: Iterable[Anomaly], now_ms: int) -> list[Anomaly]:
    """The anomalies with the time at which they were found."""
    return [replace(anomaly, detected_ms=now_ms) for anomaly in anomalies]
