"""How much of a topic may go unread before it is not its messages that are at fault.

A producer that writes garbage is no reason to stop everybody else's events from being watched and stored: its messages
are dead letters. A schema that nobody registered, or a wrong version of ours, makes all of them unreadable, and to read
on would be to move the topic into the dead letters. Pure: no clock, no Kafka.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = 50
"""By how many steps the window moves, where batches are small."""


@dataclass(frozen=True, slots=True)
class Limit:
    """When it is too much. See `settings.dead_letters` for what each means to people."""

    stop: bool = True
    ratio: float = 0.9
    window: int = 20_000
    in_a_row: int = 10_000


class Tally:
    """One topic's latest messages, as one consumer met them: how many there were, and which could not be read."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._batches: deque[tuple[int, int]] = deque()
        self._count = 0
        self._bad = 0
        self._row = 0
        """How many at the end could not be read, with none between them that could."""
        self.on_trial = False
        """Whether the topic is held, or was when this consumer came to it: then nothing is let through on credit, and
        each batch stands for itself until one is good enough."""

    def judge(self, count: int, bad: Sequence[int]) -> str | None:
        """What is too much about the next `count` messages, in words; None where they may pass, and are counted.

        `bad`: places of those that cannot be read, 0 to `count` - 1, rising. A batch that is too much is not counted:
        it may be judged again.
        """
        if not self._limit.stop:
            return None
        if self.on_trial:
            if count and len(bad) >= self._limit.ratio * count:
                return _share(len(bad), count)
            # Too few to tell, if none is bad: but these have been read.
            self.on_trial = count == 0
        longest, row = self._rows(count, bad)
        if longest >= self._limit.in_a_row:
            return f"{longest:,} messages in a row"
        batches, total, total_bad = self._with(count, len(bad))
        if total >= self._limit.window and total_bad >= self._limit.ratio * total:
            return _share(total_bad, total)
        self._batches, self._count, self._bad, self._row = batches, total, total_bad, row
        return None

    def forget(self) -> None:
        """Begins anew, as after a word that what is there may pass."""
        self._batches.clear()
        self._count = self._bad = self._row = 0
        self.on_trial = False

    def _rows(self, count: int, bad: Sequence[int]) -> tuple[int, int]:
        """The longest row of bad ones, with those from before, and how long the last one is."""
        row = longest = self._row
        before = -1
        for at in bad:
            row = row + 1 if at == before + 1 else 1
            before = at
            longest = max(longest, row)
        return longest, row if before == count - 1 else 0

    def _with(self, count: int, bad: int) -> tuple[deque[tuple[int, int]], int, int]:
        """The window after this batch: the oldest batches go as long as enough messages are left."""
        batches, total, total_bad = self._batches.copy(), self._count + count, self._bad + bad
        if batches and batches[-1][0] + count <= self._limit.window // STEPS:
            # Small ones go together, so that the window is a few dozen numbers at the most.
            last, its_bad = batches.pop()
            batches.append((last + count, its_bad + bad))
        else:
            batches.append((count, bad))
        while total - batches[0][0] >= self._limit.window:
            oldest, its_bad = batches.popleft()
            total, total_bad = total - oldest, total_bad - its_bad
        return batches, total, total_bad


def _share(bad: int, count: int) -> str:
    return f"{bad:,} of the last {count:,} messages ({bad / count:.0%})"
