"""The detectors over history: the code that watches the stream, without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from ..schemas.anomalies import Anomaly
from ..schemas.events import AgentEvent
from ..schemas.registry import LocalRegistry
from .decode import FrameDecoder
from .drift import DriftJudge
from .merge import Merger
from .partition import EVENT_COLUMNS, PartitionFold
from .rules import Rules

CHUNK = 8_192
"""Events handled at once."""
_WHENEVER = 0
"""Log time of all history: it was appended before anyone watched."""
_AFTERWARDS = 2**53


def backtest(events: Iterable[AgentEvent], rules: Rules) -> Iterator[Anomaly]:
    """Anomalies in these events: loops as they come up, in the events' order, then drift, each agent's in order.

    A run's events come in the run's order; runs may come in any.
    """
    decoder = FrameDecoder("agent_event", LocalRegistry(), EVENT_COLUMNS)
    fold = PartitionFold(0, rules.fold)
    seen = 0
    remaining = iter(events)
    while chunk := list(islice(remaining, CHUNK)):
        columns = decoder.from_records(event.to_record() for event in chunk)
        offsets = np.arange(seen, seen + len(chunk))
        seen += len(chunk)
        yield from fold.add(columns, offsets, _WHENEVER).anomalies
    merger = Merger(rules.merge)
    for part in fold.tally.parts(_AFTERWARDS):
        if part["tool"] is None:
            merger.add(part, _WHENEVER)
    judge = DriftJudge(rules.drift)
    for agent, window in merger.ready(_AFTERWARDS):
        yield from judge.judge(agent, window)
