"""A topic's side that is judged: one judge a partition, fed frame by frame, and asked now and then.

No Faust and no Kafka here: frames come in, and what is found goes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import polars as pl

from .decode import BadMessage, FrameDecoder
from .frames import Frame

Found = TypeVar("Found")
Said_co = TypeVar("Said_co", covariant=True)


Look = Callable[[Frame, Sequence[BadMessage]], None]
"""Looks at a frame, and what of it cannot be read, before any of it is folded in; may raise `holding.NotYet`."""


def passed(_frame: Frame, _bad: Sequence[BadMessage]) -> None:
    """Every frame may be folded in."""


class Judge(Protocol[Said_co]):
    """What is known of one partition, as a fold over its messages."""

    def take(self, columns: pl.DataFrame, frame: Frame) -> Iterable[Said_co]:
        """Folds a frame in (`columns`: its messages that could be read, and `_at`, their places in it).

        Goes by the log's clock, so that a replay judges as the first reading did. What is found in a replayed frame
        is said by nobody.
        """

    def quiet(self, now_ms: int) -> Iterable[Said_co]:
        """What is to be said because nothing came; asked only where all there is was read."""


J = TypeVar("J", bound=Judge[Any])


class JudgedTopic(Generic[J, Found]):
    """The judges of a topic's partitions, as far as they are ours."""

    def __init__(self, decoder: FrameDecoder, make: Callable[[], J]) -> None:
        """`make`: a judge that knows nothing."""
        self._decoder = decoder
        self._make = make
        self._held: dict[int, tuple[int, J]] = {}
        # Partitions that were read to their ends.
        self._caught_up: set[int] = set()
        self.look: Look = passed
        self.bad = 0
        """Messages that could not be read; the sink keeps them in the dead letters."""

    def take(self, frame: Frame) -> list[Found]:
        """What a frame shows. A replayed one says nothing."""
        held = self._held.get(frame.partition)
        if held is None or held[0] != frame.epoch:
            held = self._held[frame.partition] = (frame.epoch, self._make())
        (self._caught_up.discard if frame.behind else self._caught_up.add)(frame.partition)
        decoded = self._decoder.decode(frame)
        self.look(frame, decoded.bad)
        found = list(held[1].take(decoded.columns, frame))
        if frame.replay:
            return []
        self.bad += len(decoded.bad)
        return found

    def quiet(self, now_ms: int) -> list[Found]:
        """What is to be said because nothing came; called now and then.

        Only where all there is was read: to who lags, or replays, everybody seems to have fallen silent.
        """
        return [
            one
            for partition, (_, judge) in self._held.items()
            if partition in self._caught_up
            for one in judge.quiet(now_ms)
        ]

    def caught_up(self, partition: int) -> J | None:
        """The judge of a partition that was read to its end; None where it was not, or is not ours."""
        return self._held[partition][1] if partition in self._held and partition in self._caught_up else None

    def keep_only(self, partitions: Iterable[int]) -> None:
        """Lets go of the partitions that were taken away."""
        kept = set(partitions)
        self._held = {partition: held for partition, held in self._held.items() if partition in kept}

    def holds(self, partition: int) -> bool:
        """Whether a partition is ours, and something of it was read."""
        return partition in self._held

    @property
    def judges(self) -> list[J]:
        return [judge for _, judge in self._held.values()]
