"""Tool calls of a frame as hashes and flags."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from ..runs import U64
from .measures import EMPTY_RESULTS, FAILED, POOR, RETRIED, THROTTLED, UNKNOWN, Calls
from .streaks import U32

_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_BITS = np.uint32(FAILED | POOR | UNKNOWN)


def calls_of(tools: pl.DataFrame) -> Calls:
    """`tools`: rows of kind `tool_result` whose arguments were hashed, with the columns of an event."""
    tool, result = _hash(tools["tool"]), _hash(tools["result_sha"])
    error = _mixed(tool, _hash(tools["error"]))
    failed = (tools["status"] == "error").to_numpy()
    unknown = tools["result_sha"].is_null().to_numpy() & ~failed
    poor = failed | np.isin(result, _EMPTY)
    outcome = _half(_mixed(error, result)) & ~_BITS
    outcome |= failed * np.uint32(FAILED) | poor * np.uint32(POOR) | unknown * np.uint32(UNKNOWN)
    status = tools["http_status"].fill_null(0).to_numpy()
    retried = tools["attempt"].fill_null(0).to_numpy() > 1
    throttled = (status == 429) | (status // 100 == 5)
    return Calls(
        call=_half(_mixed(tool, _hash(tools["args_sha"]))),
        outcome=outcome,
        error=_half(error),
        flags=retried * np.uint8(RETRIED) | throttled * np.uint8(THROTTLED),
        seqs=tools["seq"].to_numpy(),
        times=tools["ts_ms"].to_numpy(),
    )


def _hash(values: pl.Series) -> U64:
    hashes: U64 = values.hash().to_numpy()
    return hashes


def _mixed(first: U64, second: U64) -> U64:
    """One hash of two, in that order."""
    hashes: U64 = first * _MIX ^ second
    return hashes


def _half(hashes: U64) -> U32:
    """The better half of a hash: a product's high bits depend on all of its factors' bits."""
    halves: npt.NDArray[np.uint32] = (hashes * _MIX >> _HALF).astype(np.uint32)
    return halves


_EMPTY = _hash(pl.Series(EMPTY_RESULTS))
