"""Frames of a topic of which nearly nothing can be read: they wait, uncommitted, until they can be, or may pass."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from ..deadletters.guard import Guard
from ..deadletters.words import WordsError
from ..schemas.registry import RegistryError
from .decode import BadMessage
from .frames import Frame

log = logging.getLogger("runwatch.processors")

STEP_S = 0.5
"""How long a rebalance or an end may wait for a frame that waits."""


class NotYet(Exception):
    """A frame is not to be worked on now; nothing of it was folded in."""

    def __init__(self, topic: str, why: str | None = None) -> None:
        """`why`: what is too much about it; None where it has to be asked first whether the topic is held."""
        super().__init__(topic)
        self.topic = topic
        self.why = why


class Holding:
    """The limit, as a worker's loop goes by it."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def look(self, frame: Frame, bad: Sequence[BadMessage]) -> None:
        """Looks at a frame that was decoded and is not folded in yet. Raises `NotYet`."""
        topic, guard = frame.topic, self.guard
        if frame.replay or frame.log_ms <= guard.drained_ms(topic):
            return
        if bad and guard.unsure:
            raise NotYet(topic)
        why = guard.judge(topic, len(frame), [one.at for one in bad])
        if why is not None:
            (reason, _), *_ = Counter(one.reason for one in bad).most_common(1)
            example = next(one for one in bad if one.reason == reason)
            raise NotYet(topic, f"{why} cannot be read ({reason}: {example.detail[:200]})")

    async def wait(self, which: NotYet, goes_on: Callable[[], bool]) -> bool:
        """Waits until the frame is to be tried again; False where by then it is not ours any more.

        `goes_on`: whether frames are worked on, as they are but in a rebalance and at the end.
        """
        if which.why is None:
            await self.ask()
            return goes_on()
        self.guard.hold(which.topic, which.why)
        await self.tell()
        while goes_on():
            await asyncio.sleep(STEP_S)
            if self.guard.should_look:
                await self.ask()
            if which.topic in self.guard.due():
                self.guard.try_again(which.topic)
                return goes_on()
        return False

    async def tell(self) -> None:
        """Says which topics are held, or are no more; now and then."""
        if self.guard.has_to_tell:
            await asyncio.to_thread(self.guard.tell)

    async def ask(self) -> None:
        """Asks which topics are held, by whomever."""
        try:
            await asyncio.to_thread(self.guard.look)
        except (WordsError, RegistryError) as error:
            log.warning("Which topics are held cannot be asked: %s", error)
            await asyncio.sleep(STEP_S)
