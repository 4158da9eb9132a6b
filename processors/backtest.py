"""The detectors over history: the code that watches the stream, without one.

Each run is folded in the partition in which it would be live, and windows are judged in their order, each with all
of its events: what a backtest says of a history is what was said, or would have been, as that came in.

The two can differ in this. Live, a window is judged once its agent has moved on, so that of events which come hours
late (runs imported one after the other, in no order of time) drift live sees only what came in time; a backtest sees
all. And what the log's clock decides (a run that pauses for longer than `runs.idle` is forgotten) goes by the events'
own times here, and by when they came in live: it differs where a history is streamed faster than it happened.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Protocol

import numpy as np
import polars as pl

from ..schemas.anomalies import Anomaly
from ..schemas.events import AgentEvent
from ..schemas.registry import LocalRegistry
from .decode import FrameDecoder
from .drift import DriftJudge
from .fleet.judge import FleetJudge
from .fleet.rules import FleetRules
from .merge import Merger
from .partition import EVENT_COLUMNS, PartitionFold
from .partitioner import partitions_of
from .replay import stretch_start
from .rules import Rules
from .runs import I64

CHUNK = 8_192
"""Events handled at once."""
SPAN_MS = 6 * 3_600_000
"""Log time handled at once, at the most."""
PARTITIONS = 4
_WHENEVER = 0
"""Log time of a history without order: it was appended before anyone watched."""
_AFTERWARDS = 2**53
Part = dict[str, Any]
"""A record of `window_part.avsc` or `fleet_part.avsc`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Events that came in one after the other."""

    columns: pl.DataFrame
    """`EVENT_COLUMNS`."""
    partitions: I64
    offsets: I64
    """Rising within a partition."""
    log_ms: int
    """Log time by which all of it had come in; never falls."""


class Backtest:
    """A history, judged by one set of rules."""

    def __init__(self, rules: Rules, partitions: int = PARTITIONS, disorder_ms: int | None = None) -> None:
        """`partitions`: of the window topic. `disorder_ms`: how long after its time, by the log's, an event comes in
        at the latest, where that is known: then windows are judged and forgotten on the way, else at the end, which
        takes memory for each that holds an event.
        """
        self.rules = rules
        self.disorder_ms = disorder_ms
        self._folds: dict[int, PartitionFold] = {}
        self._drift = _Windows(_Drift(rules, partitions), rules.windows.length)
        self._fleet = _Windows(_Fleet(rules.fleet), rules.fleet.window)
        self._stretch_ms = self._log_ms = 0
        # A piece is as long as some frames together: that must not make a run that goes on in it seem idle.
        runs = rules.runs.model_copy(update={"idle": rules.runs.idle + SPAN_MS})
        self._fold_rules = rules.fold.model_copy(update={"runs": runs})

    def add(self, piece: Piece) -> list[Anomaly]:
        """What these events show: drift in windows that were over before them, then loops, in their order."""
        stretch_ms = stretch_start(piece.log_ms, self.rules.windows.stretch)
        windows = self._over(stretch_ms) if stretch_ms > self._stretch_ms else []
        self._stretch_ms = max(stretch_ms, self._stretch_ms)
        self._log_ms = piece.log_ms
        found: list[tuple[int, Anomaly]] = []
        for partition in np.unique(piece.partitions).tolist():
            fold = self._folds.get(partition)
            if fold is None:
                fold = self._folds[partition] = PartitionFold(partition, self._fold_rules)
            places = np.flatnonzero(piece.partitions == partition)
            offsets = piece.offsets[places]
            for anomaly in fold.add(piece.columns[places], offsets, piece.log_ms).anomalies:
                at = int(places[np.searchsorted(offsets, anomaly.source_offset or 0)])
                found.append((at, anomaly))
        found.sort(key=lambda one: one[0])
        return [*windows, *(anomaly for _, anomaly in found)]

    def finish(self) -> Iterator[Anomaly]:
        """What is left to say once there are no more events."""
        yield from self._drift.finish(fold.tally.by_window(_AFTERWARDS) for fold in self._folds.values())
        yield from self._fleet.finish(
            sorted(fold.fleet.parts(_AFTERWARDS, over_ms=_AFTERWARDS), key=_start_of) for fold in self._folds.values()
        )

    def _over(self, stretch_ms: int) -> list[Anomaly]:
        """What windows show of which nothing more can come, once the log was read up to that stretch."""
        for fold in self._folds.values():
            self._drift.add(fold.tally.parts(stretch_ms, over_ms=stretch_ms))
            self._fleet.add(fold.fleet.parts(stretch_ms, over_ms=stretch_ms))
        if self.disorder_ms is None:
            return []
        # All that came in by then is folded, and was in a stretch that is over.
        through_ms = self._log_ms - self.disorder_ms
        return [*self._drift.judged(through_ms), *self._fleet.judged(through_ms)]


class _Judge(Protocol):
    """Judges windows in their order, each with all of its parts."""

    def judge(self, start_ms: int, parts: Iterable[Part]) -> Iterator[Anomaly]: ...

    def finish(self) -> Iterator[Anomaly]:
        """What was still waited for. Episodes that are open stay so: nobody knows what came after."""


class _Windows:
    """Parts of windows that wait until nothing more can come."""

    def __init__(self, judge: _Judge, length_ms: int) -> None:
        self._judge = judge
        self._length_ms = length_ms
        self._waiting: dict[int, list[Part]] = defaultdict(list)

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._waiting[_start_of(part)].append(part)

    def judged(self, through_ms: int) -> Iterator[Anomaly]:
        """What the windows show that end by then."""
        for start in sorted(start for start in self._waiting if start + self._length_ms <= through_ms):
            yield from self._judge.judge(start, self._waiting.pop(start))

    def finish(self, rest: Iterable[Iterable[Part]]) -> Iterator[Anomaly]:
        """What all windows show. `rest`: their last parts, each iterable by the start of their windows."""
        held = chain.from_iterable(self._waiting[start] for start in sorted(self._waiting))
        for start, parts in groupby(heapq.merge(held, *rest, key=_start_of), _start_of):
            yield from self._judge.judge(start, parts)
        self._waiting.clear()
        yield from self._judge.finish()


class _Drift:
    """Merges the parts of windows and judges them, as the partitions of the window topic do."""

    def __init__(self, rules: Rules, partitions: int) -> None:
        self._rules = rules
        self._judges = [(Merger(rules.merge), DriftJudge(rules.drift)) for _ in range(partitions)]
        self._partition_of: dict[str, int] = {}
        self._log_ms = 0

    def judge(self, start_ms: int, parts: Iterable[Part]) -> Iterator[Anomaly]:
        # The parts come in when they would have live.
        self._log_ms = log_ms = start_ms + self._rules.windows.length + self._rules.windows.grace
        for part in parts:
            whole = {**part, "watermark_ms": log_ms + self._rules.merge.grace}
            self._judges[self._partition(part["agent"])][0].add(whole, log_ms)
        yield from self._ready(log_ms)

    def finish(self) -> Iterator[Anomaly]:
        yield from self._ready(self._log_ms + self._rules.merge.tools + self._rules.merge.quiet + 1)

    def _ready(self, log_ms: int) -> Iterator[Anomaly]:
        for merger, judge in self._judges:
            for agent, window in merger.ready(log_ms):
                yield from judge.judge(agent, window)
            yield from judge.silent(log_ms)

    def _partition(self, agent: str) -> int:
        found = self._partition_of.get(agent)
        if found is None:
            found = self._partition_of[agent] = int(partitions_of([agent], len(self._judges))[0])
        return found


class _Fleet:
    """Merges the parts of the fleet's windows and judges them, as the fleet topic's one partition does."""

    def __init__(self, rules: FleetRules) -> None:
        self._rules = rules
        self._judge = FleetJudge(rules)

    def judge(self, start_ms: int, parts: Iterable[Part]) -> Iterator[Anomaly]:
        end_ms = start_ms + self._rules.window
        for part in parts:
            self._judge.add(part, end_ms)
        yield from self._judge.judge_until(end_ms)

    def finish(self) -> Iterator[Anomaly]:
        return iter(())


def _start_of(part: Part) -> int:
    start: int = part["window_start_ms"]
    return start


def pieces_of(
    events: Iterable[AgentEvent], partitions: int = PARTITIONS, *, in_order: bool = False, now_ms: int = _WHENEVER
) -> Iterator[Piece]:
    """Events as they would come in over so many partitions.

    `in_order`: of time, or nearly so; then that is the log's too. Others come in at `now_ms`, as if they were
    imported then.
    """
    decoder = FrameDecoder("agent_event", LocalRegistry(), EVENT_COLUMNS)
    log_ms, seen = (0, 0) if in_order else (now_ms, 0)
    for chunk in _chunks(events, SPAN_MS if in_order else _AFTERWARDS):
        columns = decoder.from_records(event.to_record() for event in chunk)
        runs, which = np.unique(columns["run_id"].to_numpy(), return_inverse=True)
        if in_order:
            log_ms = max(log_ms, *(event.ts_ms for event in chunk))
        places = partitions_of(runs.tolist(), partitions)[which]
        yield Piece(columns, places, np.arange(seen, seen + len(chunk)), log_ms)
        seen += len(chunk)


def _chunks(events: Iterable[AgentEvent], span_ms: int) -> Iterator[list[AgentEvent]]:
    """The events, a number at a time that is good to handle; none of them so long after the first."""
    chunk: list[AgentEvent] = []
    for event in events:
        if chunk and (len(chunk) >= CHUNK or event.ts_ms - chunk[0].ts_ms > span_ms):
            yield chunk
            chunk = []
        chunk.append(event)
    if chunk:
        yield chunk


def piece_of_arrow(data: bytes, log_ms: int = _WHENEVER) -> Piece:
    """Stored events, from an Arrow IPC stream of `EVENT_COLUMNS`, `kafka_partition` and `kafka_offset`."""
    columns = pl.read_ipc_stream(data)
    decoder = FrameDecoder("agent_event", LocalRegistry(), EVENT_COLUMNS)
    own = columns.select(pl.col(name).cast(kind) for name, kind in decoder.schema.items())
    return Piece(own, columns["kafka_partition"].to_numpy(), columns["kafka_offset"].to_numpy(), log_ms)


def backtest(events: Iterable[AgentEvent], rules: Rules, partitions: int = PARTITIONS) -> Iterator[Anomaly]:
    """Anomalies in these events: loops as they come up, in the events' order, then drift and the fleet's, by window.

    A run's events come in the run's order; runs may come in any.
    """
    judging = Backtest(rules, partitions)
    for piece in pieces_of(events, partitions):
        yield from judging.add(piece)
    yield from judging.finish()
