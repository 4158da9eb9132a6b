"""Where a worker begins to read a partition that it was just given, so that its state comes out whole.

State is a fold over a partition's recent messages, so it is rebuilt by reading them again with the output
off. Log time (the broker's append time) is cut into stretches of equal length; a replay begins with a whole
stretch, and the window parts of a stretch are tallied from all of its events or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Partition = TypeVar("Partition")
Lookup = Callable[[dict[Partition, int]], Awaitable[Mapping[Partition, int | None]]]
"""Log time per partition → offset of the first message appended then or later; None where there is none."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How much of a topic is replayed."""

    stretch_ms: int
    """Length of a stretch of log time."""
    before: int = 1
    """Whole stretches to read before the one that holds the last committed message."""
    kept_ms: int = 3 * 86_400_000
    """How long the topic keeps its messages: nothing older is looked for."""
    timed: bool = False
    """Whether the log time of each message is wanted, and not only of the last of a frame."""
    recall_ms: int = 0
    """How much is read before these stretches, where that is not too much."""
    most: int = 0
    """Messages that are read for the sake of `recall_ms` at the most, all partitions together."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition's replay begins."""

    offset: int
    whole_ms: int
    """From this log time on stretches are read whole; what is read before it is for what knows no stretches."""


def stretch_start(log_ms: int, stretch_ms: int) -> int:
    """Start of the stretch that holds that log time."""
    return log_ms // stretch_ms * stretch_ms


def stretch_starts(log_ms: npt.NDArray[np.int64], stretch_ms: int) -> npt.NDArray[np.int64]:
    """As `stretch_start`, of many."""
    return log_ms // stretch_ms * stretch_ms


async def replay_starts(
    committed: Mapping[Partition, int], horizon: Horizon, now_ms: int, lookup: Lookup[Partition]
) -> dict[Partition, Start]:
    """Where each partition's replay begins: at most at the committed offset, which is above 0.

    Kafka tells which offset a time has, not which time an offset has: the stretch of the last committed
    message is found by bisection, all partitions in the same few requests.
    """
    step = horizon.stretch_ms
    # Invariant: the last committed message is in a stretch from `low` up to, not including, `high`.
    low = dict.fromkeys(committed, (now_ms - horizon.kept_ms) // step - 1)
    high = dict.fromkeys(committed, now_ms // step + 2)  # + 2: the broker's clock may be ahead of ours
    while wide := [tp for tp in committed if high[tp] - low[tp] > 1]:
        middle = {tp: (low[tp] + high[tp]) // 2 for tp in wide}
        found = await lookup({tp: at * step for tp, at in middle.items()})
        for tp, at in middle.items():
            offset = found.get(tp)
            if offset is not None and offset < committed[tp]:
                low[tp] = at
            else:
                high[tp] = at
    whole = {tp: (low[tp] - horizon.before) * step for tp in committed}
    starts = {
        tp: Start(min(offset, committed[tp]), whole[tp])
        for tp, offset in (await lookup(whole)).items()
        if offset is not None
    }
    if horizon.recall_ms:
        each = horizon.most // len(committed)
        earlier = await lookup({tp: ms - horizon.recall_ms for tp, ms in whole.items()})
        for tp, start in starts.items():
            offset = earlier.get(tp)
            if offset is not None:
                starts[tp] = replace(start, offset=min(start.offset, max(offset, committed[tp] - each)))
    return starts
