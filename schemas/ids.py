"""Identities: time-ordered for what is new, derived for what must come out the same twice."""

from __future__ import annotations

import hashlib
import os


def uuid7(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, 74 random bits. Sorts by time."""
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(os.urandom(10), "big")
    return _uuid_text(value, version=7)


def derived_id(*parts: str | int | None) -> str:
    """A UUIDv8 (RFC 9562, 5.8) that is the same whenever the parts are the same."""
    return _uuid_text(int.from_bytes(_digest(parts)[:16], "big"), version=8)


def derived_hex(*parts: str | int | None) -> str:
    """24 hex digits that are the same whenever the parts are the same."""
    return _digest(parts).hex()[:24]


def _digest(parts: tuple[str | int | None, ...]) -> bytes:
    # Each part with its length before it, so that ("ab", "c") and ("a", "bc") differ.
    text = "".join("-;" if part is None else f"{len(str(part))}:{part};" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _uuid_text(value: int, version: int) -> str:
    value = value & ~(0xF << 76) | version << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
