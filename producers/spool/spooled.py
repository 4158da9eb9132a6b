"""The way out by way of the disk: what cannot be sent now waits in a file, and is sent before what comes later."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...control.spool import Spool
from ...schemas.avro import AvroSchema
from ...schemas.wire import HEADER_BYTES
from ..transport import Message, Transport
from .disk import Disk
from .drain import Drain

Frame = Callable[[Path, Sequence[Message]], Sequence[Message]]
"""Messages of a spool's folder as they are sent: with the schema id by which readers know it."""
Open = Callable[[], tuple[Frame, Transport]]
Report = Callable[[str, int, int], Message]
"""The event that tells of a loss: of the spool so named, after so many that were told of, so many more."""

WINDOW = 8_192
"""Messages that may be under way: what a later process sends again at the most, after a crash."""
PROBE = 64
"""The same while the broker is away: something must be on its way to find out that it is back."""
BLOCKS = 4
"""Blocks that are handed over at a stretch."""
SLOW_S = 1.0
"""What was sent past the disk, and is not known to be delivered after so long, is written down all the same."""
PATIENCE_S = 0.25
"""How long a broker may leave all of the window unanswered until it is taken for slow."""
RETRY_S = 5.0
"""After a way out that could not be opened."""
REPORT_S = 10.0
"""Between two events that tell of losses."""
BUSY_S = 0.002
"""While there is something to be sent, it is looked after this often."""
AWAY_S = 0.05
"""The same while the broker is away, or something is under way."""
CALM_S = 1.0
"""The same with nothing to do."""


class SpooledTransport:
    """A way out that keeps what it takes, on disk where need be. One thread at a time calls it, but for `counts`.

    What is under way is known to be delivered when nothing is under way any more: to be told of each message would
    cost more than to wait for some thousands now and then.
    """

    def __init__(
        self,
        options: Spool,
        topic: str,
        schema: AvroSchema,
        open_inner: Open,
        tell: Callable[..., None],
        report: Report,
    ) -> None:
        """Opens nothing yet. `open_inner` may raise; it is tried again. `tell(kind, message, *values)` hears of
        trouble. What comes to `send` is framed with the own id of `schema`.
        """
        self._is_first = options.mode == "always"
        """Whether all is written before it is sent."""
        self._disk = Disk(options, topic, schema, tell)
        self._open_inner = open_inner
        self._tell = tell
        self._report = report
        self._inner: Transport | None = None
        self._frame: Frame | None = None
        self._inner_after = 0.0
        self._direct: list[Message] = []
        """Sent past the disk, and perhaps not delivered yet."""
        self._direct_since = 0.0
        self._full_since: float | None = None
        self._report_after = 0.0
        self._reports: list[tuple[Drain, int]] = []
        """Losses of which an event is under way."""
        self._next_s = BUSY_S
        self._accepted = 0
        self._refused = 0
        """Dropped for want of room before they came here, as far as the disk knows."""
        self._kept: int | None = None
        """How many were left for a later process: it is over."""

    # -- as a transport -----------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> int:
        """Takes messages in order; fewer than all where neither broker nor disk has room for them."""
        if self._kept is not None:
            return 0
        self._open()
        self._settle()
        taken = self._pass(messages) if self._may_pass() else 0
        if taken < len(messages) and self._must_write():
            taken += self._write(messages[taken:])
        self._accepted += taken
        self.serve(0)
        return taken

    def serve(self, timeout_s: float) -> None:
        """Moves on what waits on disk, and waits up to `timeout_s` for news."""
        if self._kept is not None:
            return
        self._open()
        if self._inner is not None:
            self._inner.serve(timeout_s)
        elif timeout_s:
            time.sleep(timeout_s)
        self._settle()
        self._pump()
        self._tell_of_losses()
        if self._direct and time.monotonic() - self._direct_since >= SLOW_S and self._disk.can_write():
            self._write([])
        self._disk.look_after()
        self._next_s = self._wanted_s()

    def flush(self, timeout_s: float) -> int:
        """Waits until all that this process put is delivered or the time is up; returns how many are not."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.serve(0)
            waiting = 0 if self._kept is not None else self._waiting()
            left = deadline - time.monotonic()
            if not waiting or left <= 0:
                return waiting
            if self._inner is None:
                time.sleep(min(left, AWAY_S))
            else:
                self._inner.flush(min(left, AWAY_S))

    def counts(self) -> tuple[int, int, int]:
        """Of what this process put; what it sends for dead ones is not counted."""
        failed = self._inner.counts()[1] if self._inner else 0
        waiting = self._waiting()
        return max(0, self._accepted - failed - waiting - self._disk.dropped), failed, waiting

    def away(self) -> bool:
        return self._inner is None or self._inner.away()

    def abandon(self) -> None:
        if self._inner is not None:
            self._inner.abandon()
        self._disk.abandon()

    def recall(self) -> list[Message]:
        """Nothing: what is not delivered is kept."""
        self.keep([])
        return []

    # -- more than a transport ----------------------------------------------------------------------

    def keep(self, rest: Sequence[Message]) -> int:
        """Puts all that is not delivered on disk for a later process, and lets go; how many could not be kept."""
        if self._kept is not None:
            return len(rest)
        waiting = self._waiting()
        undelivered = {value[HEADER_BYTES:] for _, value in self._inner.recall()} if self._inner else set()
        left = [message for message in self._direct if message[1][HEADER_BYTES:] in undelivered]
        self._direct = []
        kept = self._disk.append([*left, *rest])
        lost = len(left) + len(rest) - kept
        if lost and self._disk.own is not None:
            self._disk.own.lose(lost)
        self._kept = waiting + len(rest) - lost
        self._accepted += len(rest)
        self._disk.leave(undelivered)
        return lost

    def next_s(self) -> float:
        """After how many seconds at the latest it wants to be served again."""
        return self._next_s

    def _wanted_s(self) -> float:
        if any(drain.peek() for drain in self._disk.drains):
            return AWAY_S if self.away() else BUSY_S
        wanted = self._disk.next_s()
        return min(AWAY_S if self._direct or self._reports else CALM_S, CALM_S if wanted is None else wanted)

    def note_dropped(self, total: int) -> None:
        """Hears how many events were dropped before they came here, in all."""
        if total > self._refused and self._disk.own is not None:
            self._disk.own.lose(total - self._refused)
            self._refused = total

    def stats(self) -> dict[str, int]:
        """See `Watch.spool_stats`."""
        return self._disk.stats()

    # -- past the disk ------------------------------------------------------------------------------

    def _open(self) -> None:
        now = time.monotonic()
        if self._inner is None and now >= self._inner_after:
            self._inner_after = now + RETRY_S
            try:
                self._frame, self._inner = self._open_inner()
            except Exception as error:  # whatever librdkafka or a registry's client finds wrong
                self._tell("open", "events cannot be sent yet, and wait on disk: %s", error)
        self._disk.open()

    def _may_pass(self) -> bool:
        """Whether messages may go to the broker at once: none may wait before them."""
        if self._inner is None or self._disk.waiting:
            return False
        return not self._disk.can_write() or not (self._is_first or self._inner.away())

    def _pass(self, messages: Sequence[Message]) -> int:
        """Sends messages past the disk; how many there was room for."""
        assert self._inner is not None and self._frame is not None
        room = WINDOW - len(self._direct) - self._disk.handed
        taken = self._inner.send(self._frame(self._disk.root, messages[: max(0, room)]))
        if not self._direct:
            self._direct_since = time.monotonic()
        self._direct.extend(messages[:taken])
        return taken

    # -- to the disk --------------------------------------------------------------------------------

    def _must_write(self) -> bool:
        """Whether messages that are left are to be written, and not only to wait a little."""
        if not self._disk.can_write():
            return False
        if self._is_first or self._disk.waiting or self.away():
            return True
        if self._full_since is None:
            self._full_since = time.monotonic()
        return time.monotonic() - self._full_since >= PATIENCE_S

    def _write(self, messages: Sequence[Message]) -> int:
        """Writes messages behind those that wait; how many there was room for."""
        if self._direct:
            # What is under way goes first, lest it be lost with this process.
            direct, self._direct = self._direct, []
            done = self._disk.append(direct, handed=True)
            if done < len(direct):
                self._direct = direct[done:]
                return 0
        return self._disk.append(messages)

    # -- from the disk ------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Where nothing is under way any more, all that was handed over is done."""
        if self._inner is not None and not self._inner.counts()[2]:
            self._full_since = None
            self._disk.settle(len(self._direct))
            self._direct.clear()
            for drain, count in self._reports:
                drain.report(count)
            self._reports.clear()

    def _pump(self) -> None:
        """Hands over what waits: this process's own first, since that is what someone waits for."""
        if self._inner is None or self._frame is None:
            return
        room = (PROBE if self._inner.away() else WINDOW) - len(self._direct) - self._disk.handed
        for drain in reversed(self._disk.drains):
            for _ in range(BLOCKS if drain is self._disk.own else 1):
                if room <= 0 or not (messages := drain.peek()[:room]):
                    break
                taken = self._inner.send(self._frame(drain.folder, messages))
                drain.hand(taken)
                room -= taken
                if taken < len(messages):
                    return

    def _tell_of_losses(self) -> None:
        """Sends an event for each spool of which messages are lost, once that can arrive: it is in no order."""
        if self._inner is None or self._frame is None or self._reports or self._inner.away():
            return
        now = time.monotonic()
        owing = [drain for drain in self._disk.drains if drain.owed]
        if owing and now >= self._report_after:
            self._report_after = now + REPORT_S
            for drain in owing:
                message = self._report(drain.name, drain.reported, drain.owed)
                if self._inner.send(self._frame(self._disk.root, [message])):
                    self._reports.append((drain, drain.owed))

    # -- counting -----------------------------------------------------------------------------------

    def _waiting(self) -> int:
        if self._kept is not None:
            return self._kept
        own = self._disk.own
        under_way = len(self._direct) + (own.handed if own else 0)
        if under_way and self._inner is not None:
            under_way = min(under_way, self._inner.counts()[2])
        return under_way + self._disk.waiting
