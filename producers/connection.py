"""`connect`: an agent introduces itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import endpoints
from ..control.follow import Follower
from ..control.guardrails import Guardrails
from ..control.outgoing import Outgoing
from ..control.snapshots import Snapshots, checked
from ..schemas import avro
from ..schemas.events import AgentEvent
from ..schemas.ids import uuid7
from ..schemas.registry import Registry, open_registry
from .clock import Clock, SystemClock
from .encoding import EventEncoder
from .guard.approvals import Approve
from .guard.rules import Rules
from .guard.store import Store
from .guard.switch import ControlSource
from .notices import LOGGER, Notices
from .run_log import agent_info
from .sender import Encode, Sender
from .transport import KafkaTransport, Transport
from .watch import Watch

DEFAULT_KAFKA = "127.0.0.1:9092"
QUEUE_SIZE = 20_000
"""Events that may wait in memory, some 600 bytes each, and as many again, encoded, in librdkafka."""


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
    config: str | Path | None = None,
    guardrails: Guardrails | None = None,
    approve: Approve | None = None,
    store: Store | None = None,
    control: ControlSource | None = None,
    snapshots: Snapshots | Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    transport: Transport | None = None,
    snapshot_transport: Transport | None = None,
    kafka_config: Mapping[str, Any] | None = None,
) -> Watch:
    """Introduces an agent, and neither waits nor fails where the broker is away.

    `kafka` is the broker's address: as given, or `RUNWATCH_KAFKA`, or that of the local stack, or
    127.0.0.1:9092. `prefix` stands before the topics' names (`RUNWATCH_PREFIX`), `registry` is a schema
    registry's address (`RUNWATCH_REGISTRY`), `kafka_config` holds further settings of librdkafka, and
    `queue_size` is how many events may wait in memory.

    `guardrails` say what the agent may do; without them, those of the file `config` (`RUNWATCH_CONFIG`), and
    without a file the safe defaults. `approve` is asked about writes that need an approval, and may be async.
    `store` remembers writes beyond the process. Raises `RunwatchError` for a config file that does not do.

    `snapshots` keep arguments and results, redacted and sealed, as the config file's section of that name does
    (`seal_for` is the key that they are sealed for); without it and without the file's `store_args` nothing is
    kept. Raises `SnapshotError` where they cannot be taken as asked for.

    `control` stands in for what follows the control topic, `clock` for the machine's clock, `transport` and
    `snapshot_transport` for the ways out to Kafka; with a `transport` no topic is followed unless by `control`.
    """
    notices = Notices()
    bootstrap = kafka or os.environ.get("RUNWATCH_KAFKA") or endpoints.read().get("kafka") or DEFAULT_KAFKA
    prefix = os.environ.get("RUNWATCH_PREFIX", "") if prefix is None else prefix
    registry = registry or os.environ.get("RUNWATCH_REGISTRY") or None
    topic = f"{prefix}agent.events"
    found, outgoing, kept = _settings(config or os.environ.get("RUNWATCH_CONFIG") or None)
    guardrails = guardrails or found
    clock = clock or SystemClock()
    wanted = kept if snapshots is None else snapshots

    def known_registry() -> Registry:
        return open_registry(registry) if registry is None or isinstance(registry, str) else registry

    def open_transport() -> tuple[Encode, Transport]:
        schema = avro.load("agent_event")
        encoder = EventEncoder(schema, known_registry().id_of(schema, topic), outgoing.left_out)

        def encode(event: AgentEvent) -> bytes:
            # Here, in the background: an agent's call need not wait for random numbers.
            event.event_id = event.event_id or uuid7(event.ts_ms)
            return encoder(event)

        if transport is not None:
            return encode, transport
        return encode, KafkaTransport(bootstrap, topic, queue_size=queue_size, tell=notices.tell, extra=kafka_config)

    taker = None
    if wanted is not None:
        from .snapshots.taking import open_taker  # only now: its patterns take a while to be compiled

        taker = open_taker(
            checked(wanted),
            kafka=bootstrap,
            prefix=prefix,
            registry=registry,
            clock=clock,
            transport=snapshot_transport,
            kafka_config=kafka_config,
        )
    source = control
    if source is None and transport is None and guardrails.kill_switch.enabled:
        follower = Follower(
            {**(kafka_config or {}), "bootstrap.servers": bootstrap},
            f"{prefix}agent.control",
            known_registry,
            notices.tell,
        )
        follower.start()
        source = follower
    rules = Rules(guardrails, outgoing, source, approve, store, notices, owns_source=control is None, taker=taker)
    info = agent_info(agent, version, model, parent_run_id)
    return Watch(info, labels, Sender(open_transport, queue_size, notices), clock, notices, rules)


def _settings(path: str | Path | None) -> tuple[Guardrails, Outgoing, Snapshots | None]:
    if path is None:
        return Guardrails(), Outgoing(), None
    from ..settings.agents import load_for_agent  # only now: it loads what reads YAML

    config = load_for_agent(path)
    for note in config.notes:
        LOGGER.warning("runwatch: %s", note)
    return config.guardrails, config.outgoing, config.snapshots
