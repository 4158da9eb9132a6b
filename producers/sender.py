"""From the agent's threads to the way out: a bounded queue, and one background thread that empties it."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .notices import Notices
from .transport import Keeper, Message, Transport

Encode = Callable[[Any], bytes]
"""A message's value from what was put: an event, or whatever else the topic is for."""
Open = Callable[[], tuple[Encode, Transport]]

BATCH = 16
"""Events moved at a stretch where few wait: a tenth of a millisecond, for which the agent's threads may have to
wait for Python's lock."""
BATCH_MOST = 512
"""The same where many wait."""
PAUSE_S = 0.002
"""After a batch where more waits."""
CALM_S = 0.005
"""After a batch where no more waits, so that a busy agent's events are taken together and it need not wake anyone for
each."""
LINGER_S = 0.05
"""How long after an event the next one is looked for without being told of it: to wake a thread costs its waker as
much as all else that it does for an event."""
IDLE_S = 1.0
"""With nothing to send, the transport is looked after this often."""
STUCK_S = 0.05
"""Between two looks at a transport that does not open."""
AWAY_S = 1.0
"""How long the end of a process waits for a broker that does not answer."""
RETRY_S = 5.0
"""After the transport could not be opened."""
KEPT = ("saved", "synced", "written", "waiting", "dropped", "bytes", "adopted")
"""What is counted of what a keeper keeps."""


def _run_of(event: Any) -> str:
    return str(event.run_id)


class Sender:
    """Takes events without waiting, and sends them in order. Never raises."""

    def __init__(
        self,
        open_transport: Open,
        size: int,
        notices: Notices,
        *,
        called: str = "event",
        key_of: Callable[[Any], str] = _run_of,
    ) -> None:
        """`open_transport` is called from the background, when there is something to send, and may fail.

        `called`: what is sent, for people; `key_of` gives its message's key.
        """
        self._called = called
        self._key_of = key_of
        self._open_transport = open_transport
        self._size = max(1, size)
        self._notices = notices
        self._dropped = 0
        self._unfit = 0
        self._taken = 0
        self._closed = False
        self._retiring = False
        self._transport: Transport | None = None
        self._keeper: Keeper | None = None
        """The transport, where it keeps what it cannot deliver."""
        self._begin()
        _OPEN.add(self)

    def _begin(self) -> None:
        """The state that a forked child begins anew."""
        self._queue: deque[Any] = deque()
        self._ready: list[Message] = []
        self._encode: Encode | None = None
        self._open_after = 0.0
        self._thread: threading.Thread | None = None
        self._idle = False
        # Reentrant: the collector may run a forgotten run's end in the middle of anything.
        self._lock = threading.RLock()
        self._working = threading.Lock()
        self._bell = threading.Lock()
        self._bell.acquire()

    def put(self, event: Any) -> None:
        """Queues an event, or counts it as dropped where there is no room or the sender is closed."""
        with self._lock:
            if self._closed or len(self._queue) >= self._size:
                self._dropped += 1
            else:
                self._queue.append(event)
                self._taken += 1
                if self._idle:
                    self._ring()
                elif self._thread is None:
                    self._start()
                return
        self._notices.tell(
            "dropped",
            "one %s was dropped, because %s. stats() counts them, and the runs' `seq` shows which events are missing.",
            self._called,
            "the sender is closed" if self._closed else f"{self._size:,} wait already",
        )

    def stats(self) -> dict[str, int]:
        """Events by what became of them: see `Watch.stats`."""
        delivered, failed, waiting = self._transport.counts() if self._transport else (0, 0, 0)
        return {
            "sent": self._taken,
            "delivered": delivered,
            "queued": len(self._queue) + len(self._ready) + waiting,
            "dropped": self._dropped + self.kept()["dropped"],
            "failed": failed + self._unfit,
        }

    def kept(self) -> dict[str, int]:
        """See `Watch.spool_stats`."""
        return self._keeper.stats() if self._keeper else dict.fromkeys(KEPT, 0)

    @property
    def room(self) -> float:
        """The part of the queue that is free, 0 to 1."""
        return 1.0 - len(self._queue) / self._size

    def flush(self, timeout_s: float) -> bool:
        """Waits until every event put so far is delivered or has failed; False where the time was too short."""
        deadline = time.monotonic() + timeout_s
        while True:
            left = max(0.0, deadline - time.monotonic())
            # Works here too, not only in the thread: at the end of a process there may be none.
            if self._working.acquire(timeout=min(left, 0.05)):
                try:
                    moved = self._work()
                    if self._is_through(min(left, 0.1)):
                        return True
                finally:
                    self._working.release()
                if not moved:
                    time.sleep(min(left, 0.01))
            if not left:
                return False

    def _is_through(self, timeout_s: float) -> bool:
        if self._queue or self._ready:
            return False
        return self._transport is None or self._transport.flush(timeout_s) == 0

    def away(self) -> bool:
        """Whether nothing can be delivered at present, as far as is known."""
        return self._transport.away() if self._transport else self._open_after > 0

    def retire(self) -> None:
        """Closes as soon as all is delivered, without waiting for that; for a sender that nobody can reach."""
        with self._lock:
            self._retiring = True
            self._ring()

    def close(self, timeout_s: float, *, patient: bool = True) -> bool:
        """Flushes and ends the background thread; what is put later is dropped and counted.

        False where events were left. Where not `patient`, a broker that is away is waited for no longer than `AWAY_S`.
        """
        if self._closed:
            return True
        first = timeout_s if patient else min(timeout_s, AWAY_S)
        done = self.flush(first) or (not self.away() and self.flush(timeout_s - first))
        with self._lock:
            self._closed = True
            self._ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=IDLE_S)
        left = self.stats()["queued"]
        lost = self._keep(left)
        if not done and left > lost:
            self._notices.tell(
                "kept",
                "%d %ss could not be delivered before the end, and wait on disk for the next process.",
                left - lost,
                self._called,
            )
        if not done and lost:
            self._notices.tell(
                "left", "%d %ss could not be delivered before the end, and are lost.", lost, self._called
            )
        _OPEN.discard(self)
        return done

    def _keep(self, left: int) -> int:
        """Leaves to the keeper what is not delivered; how many of those that are left are lost."""
        keeper = self._keeper
        if keeper is None or not self._working.acquire(timeout=IDLE_S):
            return left
        try:
            keeper.note_dropped(self._dropped)
            rest = self._ready
            while self._queue:
                rest += self._encoded()
            self._ready = []
            return keeper.keep(rest)
        finally:
            self._working.release()

    def after_fork(self) -> None:
        """A child's sender: empty, since the parent sends what was queued, with a thread and connection to come."""
        if self._transport is not None:
            self._transport.abandon()
            self._transport = self._keeper = None
        self._dropped = self._unfit = self._taken = 0
        self._notices.after_fork()
        self._begin()

    def _start(self) -> None:
        try:
            thread = threading.Thread(target=self._run, name="runwatch-sender", daemon=True)
            self._thread = thread
            thread.start()
        except RuntimeError:
            # The interpreter is ending and starts no more threads: `flush` does the work.
            self._thread = threading.current_thread()

    def _ring(self) -> None:
        if self._idle:
            self._idle = False
            self._bell.release()

    def _run(self) -> None:
        moved_at = 0.0
        while not self._closed:
            with self._working:
                moved = self._work()
            now = time.monotonic()
            if moved:
                moved_at = now
            if moved or (not self._queue and not self._retiring and now - moved_at < LINGER_S):
                time.sleep(PAUSE_S if self._queue else CALM_S)
                continue
            if self._retiring and self._is_through(0.1):
                self._closed = True
                self._keep(0)
                _OPEN.discard(self)
            with self._lock:
                idle = self._idle = not self._queue and not self._closed
            if not idle:
                # What waits cannot move, since the transport does not open; or it is the end.
                time.sleep(STUCK_S)
            elif not self._bell.acquire(timeout=min(IDLE_S, self._keeper.next_s()) if self._keeper else IDLE_S):
                with self._lock:
                    # Someone may have rung between the time-out and here.
                    if not self._idle:
                        self._bell.acquire(blocking=False)
                    self._idle = False

    def _work(self) -> bool:
        """Moves one batch on; False where there was nothing to move. With `_working` held."""
        transport = self._transport
        if transport is None:
            if not self._queue:
                return False
            transport = self._opened()
            if transport is None:
                return False
        if not self._ready:
            self._ready = self._encoded()
        if not self._ready:
            transport.serve(0)
            return False
        if self._keeper is not None and self._dropped:
            self._keeper.note_dropped(self._dropped)
        taken = transport.send(self._ready)
        del self._ready[:taken]
        if self._ready:
            # No room: the broker is slow or away.
            transport.serve(0.01)
        return True

    def _opened(self) -> Transport | None:
        if time.monotonic() < self._open_after:
            return None
        try:
            self._encode, transport = self._open_transport()
            self._keeper = transport if isinstance(transport, Keeper) else None
            self._transport = transport
        except Exception as error:  # whatever librdkafka or a registry's client finds wrong
            self._open_after = time.monotonic() + RETRY_S
            self._notices.tell("open", "%ss cannot be sent yet, and wait in memory: %s", self._called, error)
        return self._transport

    def _encoded(self) -> list[Message]:
        """The next events as messages."""
        assert self._encode is not None
        out: list[Message] = []
        waiting = len(self._queue)
        for _ in range(min(waiting, max(BATCH, waiting // 8), BATCH_MOST)):
            event = self._queue.popleft()
            try:
                out.append((self._key_of(event).encode(), self._encode(event)))
            except Exception as error:  # one that does not fit the schema must not stop the others
                self._unfit += 1
                self._notices.tell("unfit", "one %s does not fit its schema and is left out: %s", self._called, error)
        return out


_OPEN: set[Sender] = set()
"""Those that may still hold events."""


def close_all(timeout_s: float) -> None:
    """Delivers what all senders hold, in `timeout_s` together; for the end of the process."""
    deadline = time.monotonic() + timeout_s
    for sender in list(_OPEN):
        sender.close(max(0.0, deadline - time.monotonic()), patient=False)


def _after_fork() -> None:
    for sender in list(_OPEN):
        sender.after_fork()


os.register_at_fork(after_in_child=_after_fork)
