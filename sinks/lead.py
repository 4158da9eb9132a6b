"""Kafka's coordinates as the bytes that stand before each body in a container."""

from __future__ import annotations

from ..schemas.container import zigzag

_LOW_BITS = 13
_LOW_MASK = (1 << _LOW_BITS) - 1
# An offset's zigzag is twice the offset, so its low 13 bits make the first two of the varint's bytes.
_LOW = [bytes(((low << 1) & 0x7F | 0x80, (low >> 6) & 0x7F | 0x80)) for low in range(1 << _LOW_BITS)]


class _High(dict[int, bytes]):
    """The varint's bytes from the third on; a partition's neighbours share them."""

    def __missing__(self, high: int) -> bytes:
        if len(self) > 4096:
            self.clear()
        rest, out = high, bytearray()
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
        self[high] = found = bytes(out)
        return found


_HIGH = _High()


def lead_bytes(source: int, partition: int) -> bytes:
    """What all messages of one partition have in common: the first two fields of `routes.LEAD`."""
    return zigzag(source) + zigzag(partition)


def offset_bytes(offset: int) -> bytes:
    """An offset as Avro writes a long, by two look-ups: four times as fast as shifting.

    Below 8,192 it is longer than need be (its last bytes are `80 00` or `00`), which every reader takes.
    """
    return _LOW[offset & _LOW_MASK] + _HIGH[offset >> _LOW_BITS]


def lead_bodies(prefix: bytes, offsets: list[int], values: list[bytes], head: int) -> list[bytes]:
    """Each value without its first `head` bytes, its partition's `prefix` and its offset before it."""
    low, high, bits, mask = _LOW, _HIGH, _LOW_BITS, _LOW_MASK
    return [
        prefix + low[offset & mask] + high[offset >> bits] + value[head:]
        for offset, value in zip(offsets, values, strict=True)
    ]
