"""HTTP's content encodings, both ways: gzip, deflate, lz4 (frame), zstd and br, all of them by cramjam."""

from __future__ import annotations

from typing import Any

import cramjam

from .errors import ClickHouseError, raised

# HTTP calls zlib's container "deflate".
_CODECS: dict[str, Any] = {
    "lz4": cramjam.lz4,
    "zstd": cramjam.zstd,
    "gzip": cramjam.gzip,
    "x-gzip": cramjam.gzip,
    "deflate": cramjam.zlib,
    "br": cramjam.brotli,
}
# Quickest first: over a loopback, time counts and size does not.
_PREFERRED = ("lz4", "zstd", "gzip", "deflate", "br")
_LEVELS = {"lz4": 1, "zstd": 1, "gzip": 1, "deflate": 1, "br": 3}


def known(encoding: str) -> bool:
    """Whether `encoding` (a Content-Encoding header) is one that :func:`decompress` reads."""
    return encoding in _CODECS


def decompress(data: bytes | bytearray, encoding: str, limit: int) -> memoryview:
    """The bytes that `data` holds; a 413 or 400 error where they are more than `limit` or cannot be read.

    The output buffer has a fixed size and grows by retrying, so that a small body that unpacks to something huge is
    refused at `limit` bytes instead of filling the memory.
    """
    codec = _CODECS[encoding]
    size = min(limit, max(1 << 20, 6 * len(data)))
    while True:
        buffer = bytearray(size)
        try:
            return memoryview(buffer)[: codec.decompress_into(data, buffer)]
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise raised(117, "INCORRECT_DATA", f"Cannot unpack the {encoding} body: {error}") from None
            if size >= limit:
                raise too_large(limit) from None
            size = min(limit, size * 6)


def too_large(limit: int) -> ClickHouseError:
    """The error for a body of more than `limit` bytes."""
    return raised(307, "TOO_MANY_BYTES", f"The request's body has more than {limit} bytes; send it in parts")


def negotiate(accepted: str) -> str | None:
    """The encoding to answer in, out of an Accept-Encoding header; None for none."""
    offered = set()
    for part in accepted.split(","):
        name, _, weight = part.strip().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            offered.add(name.strip().lower())
    return next((name for name in _PREFERRED if name in offered), None)


class Packer:
    """Compresses an answer piece by piece."""

    def __init__(self, encoding: str) -> None:
        module = _CODECS[encoding]
        self._codec = module.Compressor(_LEVELS[encoding])

    def add(self, data: bytes) -> bytes:
        """What can be sent once `data` has been added."""
        self._codec.compress(data)
        return bytes(self._codec.flush())

    def end(self) -> bytes:
        """The rest."""
        return bytes(self._codec.finish())
