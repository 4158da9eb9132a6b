"""Which partition Kafka puts a run into: murmur2 of its key, as Java's clients and ours (`murmur2_random`) do it.

A fold's state is a partition's own, so a backtest must fold each run in the partition in which it would be live.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SEED = np.uint32(0x9747B28C)
_M = np.uint32(0x5BD1E995)


def partitions_of(keys: Sequence[str], partitions: int) -> npt.NDArray[np.int64]:
    """Each key's partition, of so many."""
    encoded = [key.encode() for key in keys]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    hashes = np.empty(len(encoded), np.uint32)
    for length in np.unique(lengths).tolist():
        at = np.flatnonzero(lengths == length)
        together = np.frombuffer(b"".join(encoded[one] for one in at.tolist()), np.uint8).reshape(len(at), length)
        hashes[at] = _murmur2(together)
    return (hashes & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions


def _murmur2(keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Hashes of keys of one length, a row each.

    Source: `Utils.murmur2` of Apache Kafka, which is Austin Appleby's MurmurHash2 with a fixed seed.
    """
    count, length = keys.shape
    whole = length - length % 4
    hashes = np.full(count, _SEED ^ np.uint32(length), np.uint32)
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4")
    for column in range(whole // 4):
        word = words[:, column] * _M
        word = (word ^ (word >> np.uint32(24))) * _M
        hashes = (hashes * _M) ^ word
    if length % 4:
        rest = np.zeros(count, np.uint32)
        for place in range(length % 4):
            rest |= keys[:, whole + place].astype(np.uint32) << np.uint32(8 * place)
        hashes = (hashes ^ rest) * _M
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _M
    return hashes ^ (hashes >> np.uint32(15))
