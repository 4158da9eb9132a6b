"""The fleet topic's side: parts of all partitions come together here, and are judged."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from ...schemas.anomalies import Anomaly
from ...schemas.registry import Registry
from ..decode import FrameDecoder
from ..frames import Frame
from .judge import FleetJudge
from .rules import FleetRules


class FleetWatch:
    """One judge a partition of the topic; as it is made, the topic has one."""

    def __init__(self, registry: Registry, rules: FleetRules) -> None:
        self._decoder = FrameDecoder("fleet_part", registry)
        self._rules = rules
        self._held: dict[int, tuple[int, FleetJudge]] = {}
        # Partitions that were read to their ends.
        self._caught_up: set[int] = set()
        self.bad = 0

    def take(self, frame: Frame) -> list[Anomaly]:
        """Merges a frame's parts and judges the windows that are whole. A replayed frame says nothing."""
        held = self._held.get(frame.partition)
        if held is None or held[0] != frame.epoch:
            held = self._held[frame.partition] = (frame.epoch, FleetJudge(self._rules))
        (self._caught_up.discard if frame.behind else self._caught_up.add)(frame.partition)
        decoded = self._decoder.decode(frame)
        parts = decoded.columns.with_columns(pl.col("window_start_ms", "slot_ms", "watermark_ms").cast(pl.Int64))
        for part in parts.iter_rows(named=True):
            held[1].add(part, frame.log_ms)
        # By the log's clock, so that a replay judges as the first reading did.
        found = held[1].judge(frame.log_ms)
        if frame.replay:
            return []
        self.bad += len(decoded.bad)
        return found

    def quiet(self, now_ms: int) -> list[Anomaly]:
        """Judges what no partition will add to any more; called now and then, for a fleet that fell silent.

        Only where all there is was read: to who lags, or replays, everybody seems to have fallen silent.
        """
        return [
            anomaly
            for partition, (_, judge) in self._held.items()
            if partition in self._caught_up
            for anomaly in judge.judge(now_ms)
        ]

    def keep_only(self, partitions: Iterable[int]) -> None:
        """Lets go of the partitions that were taken away."""
        kept = set(partitions)
        self._held = {partition: held for partition, held in self._held.items() if partition in kept}

    @property
    def late(self) -> int:
        """Parts that came after their window was judged."""
        return sum(judge.late for _, judge in self._held.values())
