"""Canonical JSON and its hash: how arguments and results are compared without being kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

HASH_DIGITS = 24
"""Hex digits kept of SHA-256: 96 bits, so that a fleet's lifetime of values has no chance collision."""


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no blanks, not ASCII-escaped.

    What JSON has no word for is written as a string: bytes as hex, sets sorted, anything else by its
    `repr` without memory addresses, so that equal calls stay equal from one process to the next.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_stand_in)
    except (TypeError, ValueError, RecursionError):
        # Keys of mixed types cannot be sorted, and a structure may hold itself.
        return json.dumps(_plain(value, 0), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha(value: Any) -> str:
    """First 24 hex digits of SHA-256 over the canonical JSON of `value`, UTF-8."""
    return text_sha(canonical_json(value))


def text_sha(text: str) -> str:
    """First 24 hex digits of SHA-256 over `text`, UTF-8."""
    # A lone surrogate has no UTF-8 form; it is data all the same.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


def _stand_in(value: Any) -> Any:
    """What stands in JSON for a `value` that JSON cannot hold."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, set | frozenset):
        return sorted(canonical_json(item) for item in value)
    if isinstance(value, Mapping):
        return dict(value)
    for method in ("model_dump", "_asdict"):
        dump = getattr(value, method, None)
        if callable(dump) and not isinstance(value, type):
            return dump()
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    text = repr(value)
    # The default repr holds the object's address, which would make equal calls differ.
    return type(value).__qualname__ if " at 0x" in text else text


def _plain(value: Any, depth: int) -> Any:
    """`value` with string keys only and a bounded depth."""
    if depth > 64:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return _plain(_stand_in(value), depth + 1)
