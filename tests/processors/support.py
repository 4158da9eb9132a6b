"""Events, messages and frames to test the processors with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from runwatch.processors.decode import FrameDecoder
from runwatch.processors.frames import Frame
from runwatch.processors.partition import EVENT_COLUMNS
from runwatch.schemas import avro, wire
from runwatch.schemas.registry import LocalRegistry

EVENT = avro.load("agent_event")
PART = avro.load("window_part")
T0 = 1_760_000_100_000
"""A time: the start of a window, and of a stretch of five minutes."""

_DECODER = FrameDecoder("agent_event", LocalRegistry(), EVENT_COLUMNS)


FOLDER = Path("nowhere")
"""Where an app that is only built, and never started, would put what it keeps."""


def event(run: str = "r", seq: int = 0, kind: str = "tool_result", **given: Any) -> dict[str, Any]:
    """An event's record: a tool call unless told otherwise, a second after the one before it."""
    record: dict[str, Any] = dict.fromkeys(EVENT.field_names)
    record.update(event_id=f"{run}-{seq}", run_id=run, seq=seq, kind=kind, ts_ms=T0 + 1000 * seq, agent="a")
    record["status"] = "none"
    if kind == "tool_result":
        record.update(tool="t", args_sha=f"args-{seq}", result_sha=f"result-{seq}", duration_ms=10, status="ok")
    if kind == "stop":
        record["stop_reason"] = "success"
    return record | given


def message(record: dict[str, Any]) -> bytes:
    """The event as it lies in the topic."""
    return wire.encode(record, EVENT, EVENT.schema_id)


def part_message(record: dict[str, Any]) -> bytes:
    """The window part as it lies in the topic."""
    return wire.encode(record, PART, PART.schema_id)


def columns(records: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """What the fold is given of these events."""
    return _DECODER.from_records(records)


def frame(values: Sequence[bytes | None], first: int = 0, **given: Any) -> Frame:
    """A frame of these messages, from offset `first` on."""
    settings: dict[str, Any] = {"topic": "agent.events", "partition": 0, "log_ms": T0}
    return Frame(values=values, offsets=range(first, first + len(values)), **(settings | given))


def cut(items: Sequence[Any], cuts: Iterable[int]) -> Iterator[tuple[int, Sequence[Any]]]:
    """The items in pieces that begin at these places (and at 0): each piece's place, and the piece; no empty ones."""
    places = sorted({0, len(items), *(place for place in cuts if place < len(items))})
    for start, end in pairwise(places):
        yield start, items[start:end]


def offsets(first: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Consecutive offsets."""
    return np.arange(first, first + count, dtype=np.int64)
