"""Up to where a spool is delivered: a small file that is written in place, so that a full disk does not stop it."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

_SLOT = struct.Struct("<QQQQQQI")
_SLOT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a spool: the next message to be read."""

    segment: int
    """The segment's name: the number of its first message."""
    offset: int
    """Where in it the message's block begins."""
    number: int
    """The message's own number."""


START = Place(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a spool besides its messages."""

    place: Place = START
    """All before it is delivered, or dropped."""
    dropped: int = 0
    """Messages that were lost for want of room, or found damaged."""
    reported: int = 0
    """Of these, as many as an event has told of."""


class Cursor:
    """The file. Of its two slots the one is written while the other holds, since a write may be cut short."""

    def __init__(self, path: Path) -> None:
        """Opens it, or makes it. Raises `OSError`."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count = 0
        self.standing = Standing()
        try:
            data = os.pread(self._fd, 2 * _SLOT_BYTES, 0)
            if len(data) < 2 * _SLOT_BYTES:
                os.pwrite(self._fd, data.ljust(2 * _SLOT_BYTES, b"\0"), 0)
        except OSError:
            os.close(self._fd)
            raise
        for at in (0, _SLOT_BYTES):
            self._take(data[at : at + _SLOT_BYTES])

    def _take(self, slot: bytes) -> None:
        if len(slot) < _SLOT.size or zlib.crc32(slot[: _SLOT.size - 4]) != int.from_bytes(
            slot[_SLOT.size - 4 : _SLOT.size], "little"
        ):
            return
        count, segment, offset, number, dropped, reported, _ = _SLOT.unpack_from(slot)
        if count > self._count:
            self._count = count
            self.standing = Standing(Place(segment, offset, number), dropped, reported)

    def write(self, standing: Standing) -> None:
        """Keeps it. What cannot be written is not kept: then more is sent again than need be, after a crash."""
        self.standing = standing
        self._count += 1
        place = standing.place
        values = (self._count, place.segment, place.offset, place.number, standing.dropped, standing.reported)
        slot = _SLOT.pack(*values, 0)[:-4]
        try:
            os.pwrite(self._fd, slot + zlib.crc32(slot).to_bytes(4, "little"), self._count % 2 * _SLOT_BYTES)
        except OSError:
            self._count -= 1

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)
