"""Messages that cannot be read, made from ones that could."""

from __future__ import annotations

from random import Random

KEY = b"corrupt-"
"""With a number behind it the key of such a message: its dead letter is known by it."""


def spoil(value: bytes, random: Random) -> bytes:
    """Bytes that are no event: cut short, overwritten, of an unknown schema, with more behind, noise, or none."""
    how = random.randrange(6)
    if how == 0:
        return value[: random.randrange(6, len(value) - 8)]
    if how == 1:
        # The length of the event's id: no text is so long, nor shorter than nothing.
        return value[:5] + b"\xff\xff\xff\xff\x0f" + value[6:]
    if how == 2:
        return b"\x00" + random.randbytes(4) + value[5:]
    if how == 3:
        return value + random.randbytes(random.randrange(1, 50))
    if how == 4:
        return b"\x07" + random.randbytes(random.randrange(1, 300))
    return b""
