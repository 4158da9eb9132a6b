"""What a process has on disk: a spool that it writes, and those of dead processes that it took over."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from ...control.spool import Spool
from ...schemas.avro import AvroSchema
from ..transport import Message
from .blocks import HEAD_BYTES
from .claims import Claim, abandoned, new_claim
from .drain import Drain
from .frames import keep_schema

BLOCK = 512
"""Messages of one block at the most."""
BLOCK_BYTES = 1 << 18
"""Their bytes at the most, where it is more than one."""
SAVE_S = 0.05
"""Between two notes of how far it has come: what was delivered since is sent again after a crash."""
ADOPT_S = 10.0
"""Between two looks for spools that dead processes left."""
RETRY_S = 5.0
"""After a folder that could not be opened, or written to."""
FULL_S = 1.0
"""After a disk that was full."""
LEAST_SEGMENT, MOST_SEGMENT = 1 << 16, 8 << 20


class Disk:
    """Spools of one topic. Nothing of it raises: where the disk does not do, that is told, and less is taken."""

    def __init__(self, options: Spool, topic: str, schema: AvroSchema, tell: Callable[..., None]) -> None:
        """Opens nothing yet. `tell(kind, message, *values)` hears of trouble; `schema` is what messages are of."""
        self.root = Path(options.folder).expanduser().absolute() / quote(topic, safe="")
        self.own: Drain | None = None
        self.dropped = 0
        """Of this process's messages, how many were lost from a full spool."""
        self._options = options
        self._schema = schema
        self._tell = tell
        self._segment_bytes = min(max(options.most_bytes // 16, LEAST_SEGMENT), MOST_SEGMENT)
        self._durable = options.fsync != "never"
        self._adopted: list[Drain] = []
        self._own_after = self._adopt_after = self._save_after = self._write_after = 0.0
        self._unsynced_since: float | None = None
        self._written = 0
        self._saved = 0
        self._synced = 0

    @property
    def drains(self) -> list[Drain]:
        """All that is to be sent, the oldest first: this process's own last."""
        return [*self._adopted, self.own] if self.own else list(self._adopted)

    @property
    def waiting(self) -> int:
        """Messages of this process that wait on disk, and are not under way."""
        return self.own.waiting if self.own else 0

    @property
    def handed(self) -> int:
        """Messages of all spools that are under way."""
        return sum(drain.handed for drain in self.drains)

    @property
    def size(self) -> int:
        """The size of all files of messages."""
        return sum(drain.segments.size for drain in self.drains)

    def stats(self) -> dict[str, int]:
        """See `Watch.spool_stats`. Any thread may ask."""
        return {
            "saved": self._saved,
            "synced": self._synced,
            "written": self._written,
            "waiting": self.waiting,
            "dropped": self.dropped,
            "bytes": self.size,
            "adopted": len(self._adopted),
        }

    # -- opening, and looking after it --------------------------------------------------------------

    def open(self) -> None:
        """Makes this process's spool, if it is time to try."""
        now = time.monotonic()
        if self.own is not None or now < self._own_after:
            return
        self._own_after = now + RETRY_S
        try:
            own = self._taken_up(new_claim(self.root))
        except (OSError, ValueError, ImportError) as error:
            self._cannot("make a folder", error)
            return
        with suppress(OSError):
            keep_schema(own.folder, self._schema)
        self.own = own

    def look_after(self) -> None:
        """What is to be done now and then: fsync, noting how far it is, taking over what dead processes left."""
        now = time.monotonic()
        every_s = self._options.fsync_every_ms / 1000
        if self._unsynced_since is not None and now - self._unsynced_since >= every_s:
            self._sync()
        if now >= self._save_after:
            self._save_after = now + SAVE_S
            for drain in self.drains:
                drain.save()
            for drain in [drain for drain in self._adopted if drain.is_done]:
                self._adopted.remove(drain)
                drain.leave()
        if now >= self._adopt_after:
            self._adopt_after = now + ADOPT_S
            self._adopt()

    def next_s(self) -> float | None:
        """After how many seconds at the latest it wants to be looked after; None where nothing is to be done."""
        if self._unsynced_since is not None:
            return min(SAVE_S, self._options.fsync_every_ms / 1000)
        return None if all(drain.is_saved and not drain.handed for drain in self.drains) else SAVE_S

    def _taken_up(self, claim: Claim) -> Drain:
        try:
            return Drain(claim, self._segment_bytes, durable=self._durable)
        except (OSError, ValueError):
            claim.release()
            raise

    def _adopt(self) -> None:
        for claim in abandoned(self.root):
            try:
                self._adopted.append(self._taken_up(claim))
            except (OSError, ValueError) as error:
                self._tell("adopt", "the spool %s of a process that ended cannot be read: %s", claim.folder, error)

    # -- writing --------------------------------------------------------------------------------------

    def can_write(self) -> bool:
        """Whether it is worth trying."""
        return self.own is not None and time.monotonic() >= self._write_after

    def append(self, messages: Sequence[Message], *, handed: bool = False) -> int:
        """Writes messages behind the others; how many there was room for.

        `handed`: they are under way already, and so are all others.
        """
        if self.own is None or not messages:
            return 0
        done = 0
        try:
            for block, size in _blocks(messages):
                if not self._has_room(size):
                    break
                (self.own.append_handed if handed else self.own.append)(block)
                done += len(block)
        except OSError as error:
            self._cannot("write", error)
        if done:
            self._written += done
            self._saved += done
            if self._unsynced_since is None:
                self._unsynced_since = time.monotonic()
            if self._options.fsync == "each":
                self._sync()
        return done

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes more may be written; makes room where the oldest are to be dropped."""
        while self.size + size > self._options.most_bytes:
            for drain in self.drains:
                drain.save()  # deletes what is delivered
            oldest = next((drain for drain in self.drains if drain.segments.count), None)
            if self.size + size <= self._options.most_bytes or oldest is None:
                break
            if self._options.when_full == "newest" and not (oldest is self.own and oldest.is_all_saved):
                return False
            lost = oldest.drop_oldest()
            if lost:
                self.dropped += lost if oldest is self.own else 0
                self._tell("spool full", "the spool %s is full, and its oldest events are dropped.", self.root)
        return True

    def _sync(self) -> None:
        self._unsynced_since = None
        if self.own is None or not self._durable:
            return
        try:
            self.own.segments.sync()
            if self.own.segments.is_sound:
                self._synced = self._saved
        except OSError as error:
            self._cannot("write", error)

    def _cannot(self, what: str, error: Exception) -> None:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        self._write_after = time.monotonic() + (FULL_S if is_full else RETRY_S)
        self._tell(
            "spool",
            "the spool cannot %s in %s: %s. The agent goes on, and its events wait in memory while there is room."
            " Make room there, or see to its permissions.",
            what,
            self.root,
            getattr(error, "strerror", None) or error,
        )

    # -- what is under way --------------------------------------------------------------------------

    def settle(self, past: int) -> None:
        """All that was under way is delivered, and so are as many messages that went past the disk."""
        for drain in self.drains:
            if drain.handed:
                drain.settle()
        self._saved += past
        if not self.waiting:
            self._synced = self._saved  # what is delivered need not be on disk

    def leave(self, undelivered: Collection[bytes]) -> None:
        """Lets go of everything. Messages with these bodies were under way, and are to be sent again."""
        self._sync()
        for drain in self.drains:
            drain.take_back(undelivered)
            drain.leave()
        self.own, self._adopted = None, []

    def abandon(self) -> None:
        """For a forked child: all of it is the parent's."""
        for drain in self.drains:
            drain.abandon()
        self.own, self._adopted = None, []


def _blocks(messages: Sequence[Message]) -> Iterator[tuple[Sequence[Message], int]]:
    """Messages in blocks, each with its size in bytes."""
    start, size = 0, HEAD_BYTES
    for at, (key, value) in enumerate(messages):
        more = len(key) + len(value) + 8
        if at > start and (at - start >= BLOCK or size + more > BLOCK_BYTES):
            yield messages[start:at], size
            start, size = at, HEAD_BYTES
        size += more
    yield messages[start:], size
