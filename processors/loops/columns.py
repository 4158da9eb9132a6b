"""Tool calls of a frame as hashes and flags."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from ..numbers import Numbers
from ..runs import U64
from .measures import EMPTY_RESULTS, FAILED, POOR, RETRIED, THROTTLED, UNKNOWN, Calls
from .streaks import U32

_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_BITS = np.uint32(FAILED | POOR | UNKNOWN)
_EMPTY: U64 = pl.Series(EMPTY_RESULTS).hash().to_numpy()


def calls_of(tools: Numbers) -> Calls:
    """`tools`: tool calls whose arguments were hashed."""
    error = _mixed(tools.tool, tools.error)
    poor = tools.failed | (tools.result[:, None] == _EMPTY).any(axis=1)
    unknown = tools.unknown & ~tools.failed
    bits = tools.failed * np.uint32(FAILED) | poor * np.uint32(POOR) | unknown * np.uint32(UNKNOWN)
    return Calls(
        call=_half(_mixed(tools.tool, tools.args)),
        outcome=_half(_mixed(error, tools.result)) & ~_BITS | bits,
        error=_half(error),
        flags=tools.retried * np.uint8(RETRIED) | tools.throttled * np.uint8(THROTTLED),
        seqs=tools.seq,
        times=tools.ts_ms,
    )


def _mixed(first: U64, second: U64) -> U64:
    """One hash of two, in that order."""
    hashes: U64 = first * _MIX ^ second
    return hashes


def _half(hashes: U64) -> U32:
    """The better half of a hash: a product's high bits depend on all of its factors' bits."""
    halves: npt.NDArray[np.uint32] = (hashes * _MIX >> _HALF).astype(np.uint32)
    return halves
