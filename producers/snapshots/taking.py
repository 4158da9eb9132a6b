"""From a tool call's payloads to the snapshot topic: taken at once, redacted and sealed in the background."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...control.snapshots import Snapshots
from ...schemas import avro, wire
from ...schemas.canonical import canonical_json, text_sha
from ...schemas.opaque import Opaque
from ...schemas.registry import Registry, open_registry
from ...schemas.sealing import Sealer
from ...schemas.snapshots import PayloadKind, Snapshot
from ..clock import Clock
from ..notices import Notices
from ..sender import Encode, Sender
from ..transport import KafkaTransport, Transport
from .redact import MOST_READ, Redactor

QUEUE_SIZE = 2_000
"""Payloads that may wait; how large they may be together is a setting."""
KNOWN = 10_000
"""Hashes in one generation of those that were sent lately; there are two."""
AGAIN_MS = 86_400_000
"""What is met again after so long is sent again, since snapshots are kept for days only."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload on its way to be redacted."""

    sha: str
    kind: PayloadKind
    text: str
    """Its canonical JSON, as it was: never to leave."""
    agent: str
    tool: str | None
    ts_ms: int


class Taker:
    """Takes payloads without waiting; drops and counts what there is no room for. Never raises."""

    def __init__(self, sender: Sender, most_waiting: int, clock: Clock, notices: Notices) -> None:
        """`most_waiting`: characters that may wait."""
        self._sender = sender
        self._most_waiting = most_waiting
        self._clock = clock
        self._notices = notices
        self._state = _State(clock.now_ms())
        _TAKERS.add(self)

    def hashed(self, value: Any, kind: PayloadKind, agent: str, tool: str | None) -> str | None:
        """The hash of a payload, which is taken; None where the payload's own methods raise.

        In the place of `fields.hashed`: the canonical JSON is made once for both.
        """
        if type(value) is Opaque:
            return value.sha
        try:
            text = canonical_json(value)
            sha = text_sha(text)
        except Exception:  # repr, model_dump and the like are the caller's code
            return None
        self.take(sha, kind, text, agent, tool)
        return sha

    def take(self, sha: str, kind: PayloadKind, text: str, agent: str, tool: str | None) -> None:
        """Queues a payload, unless that hash was sent lately or there is no room."""
        state = self._state
        # What is too long to be looked into is told by its size alone.
        held = text if len(text) <= MOST_READ else f'"[too long: {len(text):,} characters]"'
        with state.lock:
            if state.knows(sha, self._clock.now_ms()):
                return
            is_taken = state.waiting + len(held) <= self._most_waiting and self._sender.room > 0
            if is_taken:
                state.recent.add(sha)
                state.waiting += len(held)
            else:
                state.dropped += 1
        if is_taken:
            self._sender.put(Payload(sha, kind, held, agent, tool, self._clock.now_ms()))
        else:
            self._notices.tell(
                "snapshots",
                "a snapshot was dropped, because %s characters wait already. The events are not touched by it; "
                "stats() counts them.",
                f"{state.waiting:,}",
            )

    def stats(self) -> dict[str, int]:
        """Snapshots by what became of them, as `Watch.stats` has it for events."""
        found = self._sender.stats()
        return {**found, "dropped": found["dropped"] + self._state.dropped}

    def flush(self, timeout_s: float) -> bool:
        """Waits until all are delivered; False where the time was too short."""
        return self._sender.flush(timeout_s)

    def close(self, timeout_s: float, *, patient: bool = True) -> bool:
        """See `Sender.close`."""
        return self._sender.close(timeout_s, patient=patient)

    def retire(self) -> None:
        """See `Sender.retire`."""
        self._sender.retire()

    def after_fork(self) -> None:
        """What waits is the parent's to send; a lock that another thread held would stay held."""
        self._state.lock = threading.Lock()
        self._state.waiting = self._state.dropped = 0

    def done(self, payload: Payload) -> None:
        """Makes room: that payload is redacted."""
        with self._state.lock:
            self._state.waiting = max(0, self._state.waiting - len(payload.text))


class _State:
    """What the takers of one process share."""

    def __init__(self, now_ms: int) -> None:
        self.lock = threading.Lock()
        self.waiting = 0
        self.dropped = 0
        self.recent: set[str] = set()
        self._older: set[str] = set()
        self._since_ms = now_ms

    def knows(self, sha: str, now_ms: int) -> bool:
        """Whether that hash was sent lately. With the lock held."""
        if len(self.recent) >= KNOWN or now_ms - self._since_ms > AGAIN_MS:
            self._older, self.recent, self._since_ms = self.recent, set(), now_ms
        return sha in self.recent or sha in self._older


def open_taker(
    options: Snapshots,
    *,
    kafka: str,
    prefix: str,
    registry: str | Registry | None,
    clock: Clock,
    transport: Transport | None = None,
    kafka_config: Mapping[str, Any] | None = None,
) -> Taker:
    """A taker for the topic `PREFIXagent.snapshots`. Neither waits nor fails where the broker is away.

    `options` are checked already (see `control.snapshots.checked`). Raises `RunwatchError` where PyNaCl is not
    installed.
    """
    sealer = Sealer(options.seal_for)
    # Its own, so that what is told of events is told of snapshots too.
    notices = Notices()
    redact = Redactor(options.redact, options.most_bytes)
    topic = f"{prefix}agent.snapshots"

    def open_transport() -> tuple[Encode, Transport]:
        schema = avro.load("snapshot")
        known = open_registry(registry) if registry is None or isinstance(registry, str) else registry
        schema_id = known.id_of(schema, topic)

        def encode(payload: Payload) -> bytes:
            try:
                snapshot = snapshot_of(payload, redact, sealer)
            except Exception as error:
                # Whatever went wrong, its message may hold what was to be redacted.
                raise ValueError(type(error).__name__) from None
            finally:
                taker.done(payload)
            return wire.encode(snapshot.to_record(), schema, schema_id)

        if transport is not None:
            return encode, transport
        return encode, KafkaTransport(kafka, topic, queue_size=QUEUE_SIZE, tell=notices.tell, extra=kafka_config)

    sender = Sender(open_transport, QUEUE_SIZE, notices, called="snapshot", key_of=_sha_of)
    taker = Taker(sender, options.most_waiting_bytes, clock, notices)
    return taker


def snapshot_of(payload: Payload, redact: Redactor, sealer: Sealer) -> Snapshot:
    """The snapshot that may leave of a payload."""
    kept = redact(payload.text)
    return Snapshot(
        sha=payload.sha,
        kind=payload.kind,
        ts_ms=payload.ts_ms,
        agent=payload.agent,
        tool=payload.tool,
        key_id=sealer.key_id,
        sealed=sealer.seal(payload.sha, kept.text),
        payload_chars=len(payload.text),
        kept_chars=len(kept.text),
        truncated=kept.truncated,
        redacted=kept.counts,
    )


def _sha_of(payload: Payload) -> str:
    return payload.sha


_TAKERS: weakref.WeakSet[Taker] = weakref.WeakSet()


def _after_fork() -> None:
    for taker in list(_TAKERS):
        taker.after_fork()


os.register_at_fork(after_in_child=_after_fork)
