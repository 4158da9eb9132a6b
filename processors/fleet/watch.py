"""The fleet topic's side: parts of all partitions come together here, and are judged."""

from __future__ import annotations

import polars as pl

from ...schemas.anomalies import Anomaly
from ...schemas.registry import Registry
from ..decode import FrameDecoder
from ..frames import Frame
from ..judging import JudgedTopic
from .judge import FleetJudge
from .rules import FleetRules


class FleetTopicJudge(FleetJudge):
    """The fleet's judge, fed with frames; as it is made, the topic has one partition."""

    def take(self, columns: pl.DataFrame, frame: Frame) -> list[Anomaly]:
        """Merges a frame's parts and judges the windows that are whole."""
        for part in columns.iter_rows(named=True):
            self.add(part, frame.log_ms)
        return self.judge(frame.log_ms)

    def quiet(self, now_ms: int) -> list[Anomaly]:
        """Judges what no partition will add to any more, also where the whole fleet fell silent."""
        return self.judge(now_ms)


class FleetWatch(JudgedTopic[FleetTopicJudge, Anomaly]):
    """Frames of fleet parts in, anomalies out."""

    def __init__(self, registry: Registry, rules: FleetRules) -> None:
        super().__init__(FrameDecoder("fleet_part", registry), lambda: FleetTopicJudge(rules))

    @property
    def late(self) -> int:
        """Parts that came after their window was judged."""
        return sum(judge.late for judge in self.judges)
