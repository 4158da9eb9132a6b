"""A frame's events as vectors of numbers: what the fold reckons with, taken from the columns at one go.

Each of Polars' operations costs some 50 microseconds however few the events are, and a frame at leisure holds
thirty: so all that is wanted of the columns is asked for in one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from .runs import I64, U64, Mask


@dataclass(frozen=True, slots=True)
class Numbers:
    """A value an event."""

    run: U64
    """Hash of the run's id."""
    seq: I64
    ts_ms: I64
    """Event time, milliseconds."""
    is_stop: Mask
    is_call: Mask
    """Whether it is a tool call whose arguments were hashed: others cannot be told to be the same."""
    tool: U64
    """Hashes; null has one too."""
    args: U64
    result: U64
    error: U64
    failed: Mask
    unknown: Mask
    """Whether a call's result was not logged."""
    nameless: Mask
    """Whether it is a tool call without a tool's name."""
    retried: Mask
    throttled: Mask
    """Whether it was answered with 429 or 5xx."""
    tokens: npt.NDArray[np.float64]
    """Tokens and US dollars of a model's request, 0 where it is none or they are not known."""
    cost_usd: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.run)

    def __getitem__(self, at: slice | I64 | Mask) -> Numbers:
        """Those events."""
        return Numbers(*(getattr(self, name)[at] for name in _NAMES))


@dataclass(frozen=True, slots=True)
class Work:
    """What of each event is added up by agent, beside its `Numbers`; a value an event."""

    is_model_call: Mask
    is_tool_call: Mask
    input_tokens: I64
    """0 where it is not known."""
    run_tool_calls: I64
    """Of a stop, what its run took: below 0 where it is not known."""
    run_ms: I64

    def __getitem__(self, mask: Mask) -> Work:
        """Those events."""
        return Work(*(getattr(self, name)[mask] for name in _WORK))


def numbers_of(columns: pl.DataFrame) -> tuple[Numbers, Work]:
    """`columns`: of events, as the fold gets them."""
    taken = columns.select(**_EXPRESSIONS)
    values: dict[str, Any] = {name: taken[name].to_numpy() for name in _NAMES}
    numbers = Numbers(**{name: one.view(np.bool_) if name in _FLAGS else one for name, one in values.items()})
    work: dict[str, Any] = {name: taken[f"work_{name}"].to_numpy() for name in _WORK}
    return numbers, Work(**{name: one.view(np.bool_) if name in _WORK_FLAGS else one for name, one in work.items()})


_NAMES = tuple(field.name for field in fields(Numbers))
_WORK = tuple(field.name for field in fields(Work))
_WORK_FLAGS = {"is_model_call", "is_tool_call"}
_FLAGS = {"is_stop", "is_call", "failed", "unknown", "nameless", "retried", "throttled"}
_REQUEST = pl.col("kind") == "model_result"
_EXPRESSIONS = {
    "run": pl.col("run_id").hash(),
    "seq": pl.col("seq"),
    "ts_ms": pl.col("ts_ms").cast(pl.Int64),
    "is_stop": pl.col("kind") == "stop",
    "is_call": (pl.col("kind") == "tool_result") & pl.col("args_sha").is_not_null(),
    "tool": pl.col("tool").hash(),
    "args": pl.col("args_sha").hash(),
    "result": pl.col("result_sha").hash(),
    "error": pl.col("error").hash(),
    "failed": pl.col("status") == "error",
    "unknown": pl.col("result_sha").is_null(),
    "nameless": (pl.col("kind") == "tool_result") & (pl.col("tool").fill_null("") == ""),
    "retried": pl.col("attempt").fill_null(0) > 1,
    "throttled": ((pl.col("http_status") == 429) | (pl.col("http_status") // 100 == 5)).fill_null(False),
    "tokens": pl.when(_REQUEST).then(pl.sum_horizontal("input_tokens", "output_tokens")).fill_null(0).cast(pl.Float64),
    "cost_usd": pl.when(_REQUEST & pl.col("cost_usd").is_finite()).then("cost_usd").fill_null(0.0),
}
# Flags come out of Polars as bits; as bytes they can be taken as they are.
_EXPRESSIONS.update({name: _EXPRESSIONS[name].cast(pl.UInt8) for name in _FLAGS})
_EXPRESSIONS.update(
    {
        "work_is_model_call": _REQUEST.cast(pl.UInt8),
        "work_is_tool_call": (pl.col("kind") == "tool_result").cast(pl.UInt8),
        "work_input_tokens": pl.col("input_tokens").fill_null(0),
        "work_run_tool_calls": pl.col("tool_calls").fill_null(-1),
        "work_run_ms": pl.col("duration_ms").fill_null(-1),
    }
)
