"""Stands before the dead letters of one consumer: says when a topic is not to be read on, and when it is again.

A topic is held in place: its reader stays in its group, keeps what it has, commits nothing, and tries again now and
then, since what was unreadable may have become readable, with a schema that is registered by now. So nothing has to be
started again, and nothing that is started again by others moves the topic into the dead letters bit by bit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..schemas.errors import RunwatchError
from ..schemas.health import this_worker
from ..schemas.holds import Hold, HoldState
from .limit import Limit, Tally
from .words import Word

log = logging.getLogger(__name__)

FRESH_S = 10.0
"""For how long what was read of the words is believed while messages cannot be read."""
LOOK_S = 2.0
"""How often the words are read while a topic is held."""
RETRY_S = 30.0
"""How often a held topic is tried again."""
REMIND_S = 300.0


class Said(Protocol):
    """The topic of holds; see `words.Words`."""

    def read(self) -> dict[str, Word]: ...
    def say(self, hold: Hold) -> None: ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a topic is not read on, and when that was last logged."""

    why: str
    told_at: float


class Guard:
    """The limit of one consumer, over all of its topics. Safe from any thread; only `look` and `tell` do I/O."""

    def __init__(self, part: str, limit: Limit, words: Said, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`part`: whose reading it is, `sink` or `processors`."""
        self.part = part
        self._limit = limit
        self._words = words
        self._clock = clock
        self._lock = threading.RLock()
        self._tallies: dict[str, Tally] = {}
        self._held: dict[str, float] = {}
        """Topics that are not read just now → when they are tried again."""
        self._troubles: dict[str, Trouble] = {}
        self._drained_ms: dict[str, int] = {}
        self._heard: dict[str, tuple[int, HoldState]] = {}
        """Of each topic the last word that was heard: when the broker had it, and what it says."""
        self._looked_at: float | None = None
        self._to_say: list[Hold] = []

    # -- judging, without I/O ----------------------------------------------------------------------

    def judge(self, topic: str, count: int, bad: Sequence[int]) -> str | None:
        """As `Tally.judge`, of that topic. Where it is too much, the caller is to `hold` the topic."""
        with self._lock:
            verdict = self._tally(topic).judge(count, bad)
            if verdict is None and count and topic not in self._held:
                self._clear(topic)
            return verdict

    def drained_ms(self, topic: str) -> int:
        """Messages that the broker had by then are not judged: a person said that they may all be dead letters."""
        return self._drained_ms.get(topic, 0)

    def hold(self, topic: str, why: str) -> None:
        """The topic is not read on from now."""
        with self._lock:
            now = self._clock()
            self._tally(topic).on_trial = True
            self._held[topic] = now + RETRY_S
            heard = self._heard.get(topic)
            if heard is None or heard[1] != "held":
                self._queue(topic, "held", why)
            trouble = self._troubles.get(topic)
            if trouble is None or now - trouble.told_at >= REMIND_S:
                again = "" if trouble is None else "still: "
                self._troubles[topic] = Trouble(why, now)
                log.error("%s%s", again, self.sentence(topic))

    def sentence(self, topic: str) -> str:
        """What a person is to know of a topic that is held."""
        return (
            f"{topic} is not read on: {self._troubles[topic].why}. Nothing of that is committed. It is tried again "
            f"every {RETRY_S:.0f} s; `runwatch deadletter resume` lets what is there go to the dead letters."
        )

    def is_held(self, topic: str) -> bool:
        """Whether it is not to be read just now."""
        return topic in self._held

    @property
    def troubled(self) -> list[str]:
        """The topics that are held, or just tried again."""
        return sorted(self._troubles)

    def due(self) -> list[str]:
        """The held topics that are to be tried again now."""
        with self._lock:
            now = self._clock()
            return [topic for topic, retry_at in self._held.items() if now >= retry_at]

    def try_again(self, topic: str) -> None:
        """The topic is read again from where it was held; unless a person let it go, on trial."""
        with self._lock:
            self._held.pop(topic, None)

    @property
    def unsure(self) -> bool:
        """Whether the words are to be read before messages become dead letters: others may have held the topic."""
        return self._limit.stop and (self._looked_at is None or self._clock() - self._looked_at >= FRESH_S)

    @property
    def should_look(self) -> bool:
        """Whether the words are to be read now: somebody may have said that a held topic is to be read on."""
        return bool(self._held) and (self._looked_at is None or self._clock() - self._looked_at >= LOOK_S)

    @property
    def has_to_tell(self) -> bool:
        return bool(self._to_say)

    # -- with I/O ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Reads the words. Raises what `Words.read` raises."""
        words = self._words.read()
        with self._lock:
            self._looked_at = self._clock()
            for word in words.values():
                if word.hold.part == self.part:
                    self._hear(word)

    def tell(self) -> None:
        """Says what is to be said; what cannot be said is logged, and tried with the next word."""
        with self._lock:
            waiting, self._to_say = self._to_say, []
        for number, hold in enumerate(waiting):
            try:
                self._words.say(hold)
            except RunwatchError as error:
                log.warning("%s Whoever starts anew does not know that %s is %s.", error, hold.topic, hold.state)
                with self._lock:
                    self._to_say = waiting[number:] + self._to_say
                return

    def _hear(self, word: Word) -> None:
        topic, state = word.hold.topic, word.hold.state
        last_ms, last_state = self._heard.get(topic, (0, None))
        if word.log_ms < last_ms or (word.log_ms, state) == (last_ms, last_state):
            return
        self._heard[topic] = (word.log_ms, state)
        if state == "drained":
            self._drained_ms[topic] = word.log_ms
            self._tally(topic).forget()
            if self._troubles.pop(topic, None) is not None:
                log.warning("%s may go to the dead letters, as %s says: %s", topic, word.hold.by, word.hold.why)
            if topic in self._held:
                self._held[topic] = self._clock()
        elif state == "held" and topic not in self._held:
            self._tally(topic).on_trial = True

    def _clear(self, topic: str) -> None:
        """Messages of it passed: if it was in trouble, that is over."""
        if self._troubles.pop(topic, None) is not None:
            log.warning("%s is read on: most of it can be read again.", topic)
        heard_ms, state = self._heard.get(topic, (0, "resumed"))
        if state == "held" or any(one.topic == topic for one in self._to_say):
            self._queue(topic, "resumed", "most of it can be read again")
            # Until that is heard, the word that it was held is an old one.
            self._heard[topic] = (heard_ms + 1, "resumed")

    def _tally(self, topic: str) -> Tally:
        if topic not in self._tallies:
            self._tallies[topic] = Tally(self._limit)
        return self._tallies[topic]

    def _queue(self, topic: str, state: HoldState, why: str) -> None:
        self._to_say = [hold for hold in self._to_say if hold.topic != topic]
        self._to_say.append(Hold(self.part, topic, state, int(time.time() * 1000), why, this_worker()))
