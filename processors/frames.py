"""A frame: the messages of one fetched batch of one partition, handled as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """Messages of one partition, in offset order, all appended in one stretch of log time."""

    topic: str
    partition: int
    values: Sequence[bytes | None]
    """Message values as they came: wire header and Avro body."""
    offsets: Sequence[int]
    """Offset of each; a range where none is missing, as is usual."""
    log_ms: int
    """When the broker appended the last of them; milliseconds, never falling within a partition."""
    each_log_ms: Sequence[int] | None = None
    """When the broker appended each; only of topics whose horizon asks for it."""
    replay: bool = False
    """True for messages below the committed offset: they rebuild state and say nothing."""
    whole: bool = True
    """False for messages of a stretch of which not all is read: they are for what knows no stretches."""
    behind: int = 0
    """How many offsets the partition went on for after it, as far as was known when it was fetched."""
    epoch: int = 0
    """Counts the assignments of the partition; state from an earlier one is void."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def next_offset(self) -> int:
        """The offset after the frame's last message."""
        return self.offsets[-1] + 1
