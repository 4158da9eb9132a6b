"""`connect`, and what it gives: an agent's way to say what its runs do."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .. import endpoints
from ..schemas import avro, reasons
from ..schemas.ids import uuid7
from ..schemas.registry import Registry, open_registry
from . import fields
from .clock import Clock, SystemClock
from .current import current_run
from .encoding import EventEncoder
from .notices import Notices
from .run import Run
from .run_log import RunInfo, RunLog
from .sender import Encode, Sender, close_all
from .tools import Decorator, make_decorator
from .transport import KafkaTransport, Transport

DEFAULT_KAFKA = "127.0.0.1:9092"
QUEUE_SIZE = 20_000
"""Events that may wait in memory, some 600 bytes each, and as many again, encoded, in librdkafka."""
EXIT_S = 5.0
"""How long the end of a process may take to deliver what is left."""


class Watch:
    """One agent, as `connect` introduced it. Threads may share it; a forked child goes on with its own queue.

    A context manager: leaving it closes it.
    """

    def __init__(
        self,
        info: RunInfo,
        labels: Any,
        sender: Sender,
        clock: Clock,
        notices: Notices,
        first: Watch | None = None,
    ) -> None:
        """`info` is what all runs of this agent share; its `run_id` is not used.

        `first` is the watch that the sender belongs to, where that is another.
        """
        self._info = info
        self._labels = labels
        self._sender = sender
        self._clock = clock
        self._notices = notices
        self._first = first
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        _WATCHES.add(self)
        if first is None:
            # One that is forgotten delivers what it holds and ends its thread.
            weakref.finalize(self, sender.retire).atexit = False

    def agent(
        self,
        agent: str,
        version: str | None = None,
        model: str | None = None,
        *,
        labels: Mapping[str, Any] | None = None,
    ) -> Watch:
        """Another agent in the same process, on the same connection, queue and counters.

        Its `close` stops its runs and delivers; the connection ends with the first one's.
        """
        info = _info(agent, version, model, self._info.parent_run_id)
        return Watch(info, labels, self._sender, self._clock, self._notices, self._first or self)

    def run(
        self,
        run_id: str | None = None,
        *,
        prompt_sha: str | None = None,
        tools_sha: str | None = None,
        prompt: Any = None,
        tools: Any = None,
        parent_run_id: str | None = None,
        labels: Mapping[str, Any] | None = None,
        model: str | None = None,
    ) -> Run:
        """Begins a run, and logs that. To be used in a `with`, or ended by its `stop`.

        `prompt` and `tools` are hashed here, in the place of their hashes. Within another run's `with`
        block, that run is the parent unless one is named.
        """
        shared = self._info
        if parent_run_id is None and shared.parent_run_id is None:
            outer = current_run()
            if outer is not None and not outer.stopped:
                parent_run_id = outer.run_id
        info = RunInfo(
            fields.text(run_id) or uuid7(self._clock.now_ms()),
            shared.agent,
            shared.agent_version,
            fields.text(model) or shared.model,
            fields.text(prompt_sha) or (None if prompt is None else fields.hashed(prompt)),
            fields.text(tools_sha) or (None if tools is None else fields.hashed(tools)),
            fields.text(parent_run_id) or shared.parent_run_id,
            fields.labels(self._labels, labels),
        )
        run = Run(RunLog(info, self._sender, self._clock), self._clock, self._notices, self)
        self._runs.add(run)
        return run

    def tool(self, name: str | None = None) -> Decorator:
        """A decorator like `Run.tool`, for the run in whose `with` block the function is called.

        Called outside of any run, the function is just called.
        """
        return make_decorator(name, self._found_run)

    def stats(self) -> dict[str, int]:
        """Events by what became of them, since the connection or the fork.

        `sent`: taken from the agent; of these `delivered`, `queued` (wait or are under way) or `failed`
        (do not fit the schema, or the topic refused them for good). `dropped`: not taken, since the queue
        was full or the watch closed.
        """
        return self._sender.stats()

    def room(self) -> float:
        """The part of the queue that is free, 0 to 1: for senders in bulk, who can wait."""
        return self._sender.room

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until all events are delivered; False where `timeout` seconds were too short."""
        return self._sender.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Stops the runs that are left as `cancelled`, delivers all events, and ends the connection.

        False where not all could be delivered in `timeout` seconds; without one, `EXIT_S`, and less where the
        broker is known to be away.
        """
        self.stop_runs()
        _WATCHES.discard(self)
        seconds = EXIT_S if timeout is None else timeout
        return self._sender.flush(seconds) if self._first else self._sender.close(seconds, patient=timeout is not None)

    def stop_runs(self) -> None:
        """Stops the runs that are left as `cancelled`."""
        for run in list(self._runs):
            run.stop(reasons.CANCELLED)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def after_fork(self) -> None:
        """See `RunLog.after_fork`."""
        for run in list(self._runs):
            run.after_fork()

    def _found_run(self) -> Run | None:
        run = current_run()
        if run is None:
            self._notices.tell(
                "outside",
                "a tool of agent %s was called outside of any run's `with` block, and is not logged.",
                self._info.agent,
            )
        return run


def connect(
    agent: str,
    version: str | None = None,
    model: str | None = None,
    *,
    kafka: str | None = None,
    prefix: str | None = None,
    registry: str | Registry | None = None,
    labels: Mapping[str, Any] | None = None,
    parent_run_id: str | None = None,
    queue_size: int = QUEUE_SIZE,
    clock: Clock | None = None,
    transport: Transport | None = None,
    kafka_config: Mapping[str, Any] | None = None,
) -> Watch:
    """Introduces an agent, and neither waits nor fails where the broker is away.

    `kafka` is the broker's address: as given, or `RUNWATCH_KAFKA`, or that of the local stack, or
    127.0.0.1:9092. `prefix` stands before the topic's name (`RUNWATCH_PREFIX`), `registry` is a schema
    registry's address (`RUNWATCH_REGISTRY`), `kafka_config` holds further settings of librdkafka, and
    `queue_size` is how many events may wait in memory. `clock` and `transport` stand in for the machine's
    clock and for Kafka.
    """
    notices = Notices()
    bootstrap = kafka or os.environ.get("RUNWATCH_KAFKA") or endpoints.read().get("kafka") or DEFAULT_KAFKA
    prefix = os.environ.get("RUNWATCH_PREFIX", "") if prefix is None else prefix
    registry = registry or os.environ.get("RUNWATCH_REGISTRY") or None
    topic = f"{prefix}agent.events"

    def open_transport() -> tuple[Encode, Transport]:
        schema = avro.load("agent_event")
        known = open_registry(registry) if registry is None or isinstance(registry, str) else registry
        encoder = EventEncoder(schema, known.id_of(schema, topic))
        if transport is not None:
            return encoder, transport
        return encoder, KafkaTransport(bootstrap, topic, queue_size=queue_size, tell=notices.tell, extra=kafka_config)

    sender = Sender(open_transport, queue_size, notices)
    return Watch(_info(agent, version, model, parent_run_id), labels, sender, clock or SystemClock(), notices)


def _info(agent: str, version: str | None, model: str | None, parent_run_id: str | None) -> RunInfo:
    """What all runs of an agent share."""
    return RunInfo(
        run_id="",
        agent=fields.text(agent) or "unnamed",
        agent_version=fields.text(version),
        model=fields.text(model),
        parent_run_id=fields.text(parent_run_id),
    )


_WATCHES: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_fork() -> None:
    for watch in list(_WATCHES):
        watch.after_fork()


def _at_exit() -> None:
    for watch in list(_WATCHES):
        watch.stop_runs()
    close_all(EXIT_S)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
