"""Messages as checksummed blocks of bytes, and back: a block is what the sender wrote in one go."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..transport import Message

MARK = b"\xf5rw\x01"
"""Every block's first bytes, by which the next one is found behind a damaged one; the last is the format's version."""
_HEAD = struct.Struct("<4sQII")
"""Mark, number of the first message, how many messages, bytes of the body."""
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Head:
    """What a block's first bytes say."""

    first: int
    """Number of its first message."""
    count: int
    body_bytes: int
    crc: int
    start: int
    """The checksum of the head itself, with which the body's begins."""

    @property
    def size(self) -> int:
        return HEAD_BYTES + self.body_bytes


def pack(messages: Sequence[Message], first: int) -> bytes:
    """A block of messages, of which there is at least one; `first` is the number of the first."""
    flat = [part for message in messages for part in message]
    lengths = struct.pack(f"<{len(flat)}I", *map(len, flat))
    body = b"".join((lengths, *flat))
    head = _HEAD.pack(MARK, first, len(messages), len(body))
    return head + _CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body


def read_head(data: bytes, at: int = 0) -> Head | None:
    """The head of the block at that place; None where there is none."""
    if len(data) - at < HEAD_BYTES or not data.startswith(MARK, at):
        return None
    _, first, count, size = _HEAD.unpack_from(data, at)
    if not count or size < 8 * count:
        return None
    return Head(first, count, size, _CRC.unpack_from(data, at + _HEAD.size)[0], zlib.crc32(data[at : at + _HEAD.size]))


def unpack(head: Head, body: bytes) -> list[Message] | None:
    """The messages of a block's body; None where it is not what was written."""
    if len(body) != head.body_bytes or zlib.crc32(body, head.start) != head.crc:
        return None
    lengths = struct.unpack_from(f"<{2 * head.count}I", body)
    ends = list(accumulate(lengths, initial=8 * head.count))
    return [
        (body[start:middle], body[middle:end])
        for start, middle, end in zip(ends[:-1:2], ends[1::2], ends[2::2], strict=True)
    ]
