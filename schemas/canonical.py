"""Canonical JSON and its hash: how arguments and results are compared without being kept."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import partial
from importlib import import_module
from json import encoder as json_encoder
from pathlib import PurePath
from typing import Any
from uuid import UUID

from .opaque import Opaque

HASH_DIGITS = 24
"""Hex digits kept of SHA-256: 96 bits, so that a fleet's lifetime of values has no chance collision."""

MAX_DEPTH = 64
MAX_ITEMS = 100_000
"""How much is told of a structure that JSON cannot hold as it is: one that holds itself has no end."""
_CUT = "…"


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no blanks, not ASCII-escaped.

    What JSON has no word for is written as a string: bytes as hex, sets sorted, anything else by its
    `repr` without memory addresses, so that equal calls stay equal from one process to the next. Raises
    nothing: whatever an agent hands to a tool has a text.
    """
    try:
        return _dumps(value)
    except (TypeError, ValueError, RecursionError):
        # Keys of mixed types cannot be sorted, a structure may hold itself, an int may be too long to print.
        return _dumps(_Plain().of(value, 0))


def sha(value: Any) -> str:
    """First 24 hex digits of SHA-256 over the canonical JSON of `value`, UTF-8; an `Opaque`'s is the one it has."""
    if type(value) is Opaque:
        return value.sha
    # As `text_sha(canonical_json(value))`, for most values: it is done twice for every call of a tool.
    try:
        data = _dumps(value).encode()
    except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
        return text_sha(canonical_json(value))
    digest = _small_sha256(data) if len(data) <= _SMALL else hashlib.sha256(data)
    return digest.hexdigest()[:HASH_DIGITS]


def text_sha(text: str) -> str:
    """First 24 hex digits of SHA-256 over `text`, UTF-8."""
    # A lone surrogate has no UTF-8 form; it is data all the same.
    data = text.encode("utf-8", "surrogatepass")
    digest = _small_sha256(data) if len(data) <= _SMALL else hashlib.sha256(data)
    return digest.hexdigest()[:HASH_DIGITS]


_SMALL = 1_024
"""Bytes up to which Python's own SHA-256 is the faster one: OpenSSL's takes long to begin, a third of a call's cost."""
try:
    _small_sha256 = import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256
except ImportError:  # a Python that was built without it
    _small_sha256 = hashlib.sha256


def _writer(default: Callable[[Any], Any]) -> Callable[[Any], str]:
    """What `json.dumps` does with these options, without making an encoder for each value: a third of the time."""
    make = getattr(json_encoder, "c_make_encoder", None)
    if make is None:  # a Python without the json module's part in C
        return partial(json.dumps, default=default, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # No marks of what it is in the midst of (the first argument): threads share it, and a structure that holds itself
    # is a RecursionError as well.
    encode = make(None, default, json_encoder.encode_basestring, None, ":", ",", True, False, True)
    join = "".join
    return lambda value: join(encode(value, 0))


def _stand_in(value: Any) -> Any:
    """What stands in JSON for a `value` that JSON cannot hold."""
    try:
        return _converted(value)
    except Exception:  # An agent's own objects may raise anything from any method.
        return type(value).__qualname__


def _converted(value: Any) -> Any:
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


def is_exact(value: Any) -> bool:
    """Whether the canonical JSON of `value` tells it from every other value that means something else.

    A `repr` that stands for an object need not: it may be shortened, or the same for all objects of a class.
    """
    try:
        _check_exact(value)
    except Exception:  # As in `_stand_in`.
        return False
    return True


_EXACT_BY_REPR = (date, time, timedelta, timezone, Decimal, UUID, PurePath, Enum, complex, range)


def _exactly(value: Any) -> Any:
    """What is looked into in the place of `value`. Raises `TypeError` where only its `repr` stands for it."""
    if isinstance(value, bytes | bytearray | memoryview):
        return None
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, _EXACT_BY_REPR) and not isinstance(value, type):
        return None
    found = _converted(value)
    if isinstance(found, str):
        raise TypeError(type(value).__qualname__)
    return found


class _Plain:
    """Turns one value into what JSON holds: string keys, bounded depth, a bounded number of items."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return _CUT
        if isinstance(value, Mapping):
            # In an order of its own, so that of two keys with one text the same one always wins.
            items = sorted(((_key(key), type(key).__name__, item) for key, item in value.items()), key=_by_key)
            return {key: self.of(item, depth + 1) for key, _, item in items}
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        if isinstance(value, int) and value.bit_length() > _LONG_BITS:
            return hex(value)
        if value is None or isinstance(value, str | int | float | bool):
            return value
        return self.of(_stand_in(value), depth + 1)


_LONG_BITS = 2_000
"""Python refuses to print ints of more than some 4,300 decimal digits (640 at the strictest setting)."""


def _key(key: Any) -> str:
    """A mapping's key as a JSON object's: as the json module has it for what it takes."""
    return key if isinstance(key, str) else canonical_json(key)


def _by_key(item: tuple[str, str, Any]) -> tuple[str, str]:
    return item[:2]


_dumps = _writer(_stand_in)
_check_exact = _writer(_exactly)
