"""One spool on its way out: what is read of it, what is under way, and up to where it is done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ...schemas.wire import HEADER_BYTES
from ..transport import Message
from .claims import Claim
from .cursor import Cursor, Place
from .segments import Segments

CURSOR = "cursor"


class Drain:
    """A spool's messages in their order. What is handed over stays in the files until it is settled."""

    def __init__(self, claim: Claim, segment_bytes: int, *, durable: bool) -> None:
        """Takes up a claimed folder, new or taken over. Raises `OSError` and `ValueError`."""
        self.name = claim.folder.name
        self.folder = claim.folder
        self._claim = claim
        self._cursor = Cursor(claim.folder / CURSOR)
        try:
            self.segments = Segments(claim.folder, segment_bytes, durable=durable)
        except (OSError, ValueError):
            self._cursor.close()
            raise
        self._standing = self._saved = self._cursor.standing
        self._left: list[Message] = []
        """Of the block that was read last, what is not handed over."""
        self._next = self._standing.place
        """The next message to be handed over; where nothing is left, of a block that is to be read."""
        self._after = self._next
        """Behind what is left."""
        self._handed: list[tuple[Place, Sequence[Message]]] = []
        """What is under way, and where it begins."""
        self.handed = 0
        """How many messages are under way."""

    # -- writing, by the process that the spool is of ------------------------------------------------

    def append(self, messages: Sequence[Message]) -> None:
        """Writes messages. Raises `OSError`."""
        self.segments.append(messages)

    def append_handed(self, messages: Sequence[Message]) -> None:
        """Writes messages that are under way already; all else in the spool must be so too. Raises `OSError`."""
        self.segments.append(messages)
        found = self.segments.read(self._next)
        self._handed.append((found.start, messages))
        self.handed += len(messages)
        self._next = self._after = found.end

    @property
    def waiting(self) -> int:
        """How many messages wait to be handed over, of a spool that this process writes."""
        return self.segments.next_number - max(1, self._next.number)

    # -- reading -------------------------------------------------------------------------------------

    def peek(self) -> list[Message]:
        """The next messages, those of a block at the most; none where all are handed over."""
        if not self._left:
            found = self.segments.read(self._next)
            self._left, self._next, self._after = found.messages, found.start, found.end
            self.lose(found.damaged)
        return self._left

    def hand(self, count: int) -> None:
        """Notes that so many of those that `peek` gave are under way, the first of them."""
        if count:
            self._handed.append((self._next, self._left[:count]))
            self.handed += count
            self._left = self._left[count:]
            self._next = replace(self._next, number=self._next.number + count) if self._left else self._after

    def settle(self) -> None:
        """Notes that all that was under way is done: nobody need send it again."""
        self._handed.clear()
        self.handed = 0
        self._standing = replace(self._standing, place=self._next)

    def take_back(self, undelivered: Collection[bytes]) -> None:
        """As `settle`, but for messages with these bodies: from the first of them on, all is to be sent again."""
        first = next(
            (
                replace(place, number=place.number + at)
                for place, messages in self._handed
                for at, (_, value) in enumerate(messages)
                if value[HEADER_BYTES:] in undelivered
            ),
            None,
        )
        if first is not None:
            self._left, self._next, self._after = [], first, first
        self.settle()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be sent, nor to be told of."""
        return not self.handed and not self.peek() and not self.owed

    @property
    def is_all_saved(self) -> bool:
        """Whether nothing in the files is needed any more."""
        return self.is_saved and self._standing.place == self._next and not self.handed and not self.peek()

    # -- what is lost ---------------------------------------------------------------------------------

    @property
    def owed(self) -> int:
        """Messages that are lost, and of which no event has told yet."""
        return self._standing.dropped - self._standing.reported

    @property
    def reported(self) -> int:
        """Lost messages of which an event has told."""
        return self._standing.reported

    @property
    def dropped(self) -> int:
        """All lost messages."""
        return self._standing.dropped

    def lose(self, count: int) -> None:
        """Counts messages as lost."""
        if count:
            self._standing = replace(self._standing, dropped=self._standing.dropped + count)

    def report(self, count: int) -> None:
        """Notes that an event tells of so many."""
        self._standing = replace(self._standing, reported=self._standing.reported + count)

    def drop_oldest(self) -> int:
        """Deletes the first file. Returns how many messages are lost, that is, were neither delivered nor under way."""
        before = max(self._next.number, self.segments.first)
        lost = 0
        if self.segments.count > 1 or self.segments.next_number > 1:
            start = self.segments.drop_first()
            lost = max(0, start.number - before)
        else:
            # A dead process's last file, of which only reading tells what is in it.
            while found := self.peek():
                lost += len(found)
                self._left, self._next = [], self._after
            start = self.segments.drop_first()
        if self._next.segment < start.segment:
            self._left, self._next, self._after = [], start, start
        if self._standing.place.segment < start.segment:
            self._standing = replace(self._standing, place=start)
        self.lose(lost)
        self.save()
        return lost

    # -- keeping ---------------------------------------------------------------------------------------

    @property
    def is_saved(self) -> bool:
        """Whether a later process would begin where this one is."""
        return self._standing == self._saved

    def save(self) -> None:
        """Keeps where it stands, and deletes what nobody needs any more."""
        if not self.is_saved:
            self._saved = self._standing
            self._cursor.write(self._standing)
            self.segments.let_go(self._standing.place)

    def leave(self) -> None:
        """Lets go: of the folder too, where it is done; otherwise a later process will find it."""
        is_done = self.is_done
        self.save()
        self._close()
        if is_done:
            self._claim.remove()
        else:
            self._claim.release()

    def abandon(self) -> None:
        """For a forked child: all of this is the parent's."""
        self._close()
        self._claim.forget()

    def _close(self) -> None:
        self.segments.close()
        self._cursor.close()
