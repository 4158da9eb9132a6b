"""`connect`: an agent introduces itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import broker, endpoints
from ..control import spool as spooling
from ..control.follow import Follower
from ..control.guardrails import Guardrails
from ..control.outgoing import Outgoing
from ..control.signers import Signers
from ..control.snapshots import Snapshots, checked
from ..control.spool import Spool
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
from .run_log import RunInfo, agent_info
from .sender import Encode, Sender
from .spool.frames import Frames
from .spool.loss import loss_event
from .spool.spooled import SpooledTransport
from .transport import KafkaTransport, Message, Transport
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
    control_signers: str | Path | None = None,
    snapshots: Snapshots | Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    transport: Transport | None = None,
    snapshot_transport: Transport | None = None,
    kafka_config: Mapping[str, Any] | None = None,
    spool: Spool | str | Path | Mapping[str, Any] | None = None,
) -> Watch:
    """Introduces an agent, and neither waits nor fails where the broker is away.

    `kafka` is the broker's address: as given, or `RUNWATCH_KAFKA`, or that of the local stack, or
    127.0.0.1:9092. `prefix` stands before the topics' names (`RUNWATCH_PREFIX`), `registry` is a schema
    registry's address (`RUNWATCH_REGISTRY`), and `queue_size` is how many events may wait in memory. What the brokers
    ask of who connects is set by `RUNWATCH_KAFKA_…`, as docs/security.md says; `kafka_config` holds further settings of
    librdkafka, which win. Raises `RunwatchError` where these do not go together.

    `guardrails` say what the agent may do; without them, those of the file `config` (`RUNWATCH_CONFIG`), and
    without a file the safe defaults. `approve` is asked about writes that need an approval, and may be async.
    `store` remembers writes beyond the process. Raises `RunwatchError` for a config file that does not do.

    `snapshots` keep arguments and results, redacted and sealed, as the config file's section of that name does
    (`seal_for` is the key that they are sealed for); without it and without the file's `store_args` nothing is
    kept. Raises `SnapshotError` where they cannot be taken as asked for.

    `control_signers` is the file of those whose commands are obeyed (`RUNWATCH_CONTROL_SIGNERS`); without one, whoever
    may write to the control topic is. Raises `RunwatchError` for a file that does not do.

    `spool` is a folder, or says more, for events that cannot be sent yet, which then outlive the process; without it,
    the folder `RUNWATCH_SPOOL`, with what the file's section of that name says. Raises `SpoolError` for settings that
    do not do; a folder that does not do is told, and the events wait in memory.

    `control` stands in for what follows the control topic, `clock` for the machine's clock, `transport` and
    `snapshot_transport` for the ways out to Kafka; with a `transport` no topic is followed unless by `control`.
    """
    notices = Notices()
    access = _access(kafka)
    bootstrap = access.bootstrap
    prefix = os.environ.get("RUNWATCH_PREFIX", "") if prefix is None else prefix
    registry = registry or os.environ.get("RUNWATCH_REGISTRY") or None
    topic = f"{prefix}agent.events"
    kafka_config = {**access.client(), **(kafka_config or {}), "bootstrap.servers": bootstrap}
    info = agent_info(agent, version, model, parent_run_id)
    found, outgoing, kept, spooled = _settings(config or os.environ.get("RUNWATCH_CONFIG") or None)
    on_disk = _spool(spool, spooled, is_real=transport is None)
    guardrails = guardrails or found
    clock = clock or SystemClock()
    wanted = kept if snapshots is None else snapshots

    def known_registry() -> Registry:
        return open_registry(registry) if registry is None or isinstance(registry, str) else registry

    def open_transport() -> tuple[Encode, Transport]:
        schema = avro.load("agent_event")
        if on_disk is not None:
            encode = _encode(EventEncoder(schema, schema.schema_id, outgoing.left_out))
            report = partial(_loss, encode, info, clock)
            return encode, SpooledTransport(on_disk, topic, schema, open_framed, notices.tell, report)
        return _encode(EventEncoder(schema, known_registry().id_of(schema, topic), outgoing.left_out)), open_way()

    def open_framed() -> tuple[Frames, Transport]:
        return Frames(known_registry(), avro.load("agent_event"), topic), open_way()

    def open_way() -> Transport:
        if transport is not None:
            return transport
        return KafkaTransport(bootstrap, topic, queue_size=queue_size, tell=notices.tell, extra=kafka_config)

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
            kafka_config,
            f"{prefix}agent.control",
            known_registry,
            notices.tell,
            _signers(control_signers or os.environ.get("RUNWATCH_CONTROL_SIGNERS")),
        )
        follower.start()
        source = follower
    rules = Rules(guardrails, outgoing, source, approve, store, notices, owns_source=control is None, taker=taker)
    return Watch(info, labels, Sender(open_transport, queue_size, notices), clock, notices, rules)


def _access(kafka: str | None) -> broker.Access:
    """How the brokers are reached: as the environment says, but for the local stack, which asks for nothing."""
    bootstrap = kafka or os.environ.get("RUNWATCH_KAFKA")
    if not bootstrap and (found := endpoints.read().get("kafka")):
        return broker.Access(found)
    return broker.from_environ(bootstrap or DEFAULT_KAFKA)


def _signers(path: str | Path | None) -> Signers | None:
    return Signers(Path(path)) if path else None


def _encode(encoder: EventEncoder) -> Encode:
    def encode(event: AgentEvent) -> bytes:
        # Here, in the background: an agent's call need not wait for random numbers.
        event.event_id = event.event_id or uuid7(event.ts_ms)
        return encoder(event)

    return encode


def _loss(encode: Encode, info: RunInfo, clock: Clock, spool: str, before: int, count: int) -> Message:
    event = loss_event(spool, before, count, info.agent, info.agent_version, clock.now_ms())
    return event.run_id.encode(), encode(event)


def _spool(given: Spool | str | Path | Mapping[str, Any] | None, found: Spool | None, *, is_real: bool) -> Spool | None:
    """The spool that is asked for: in the call; else by the environment and the file, if Kafka is where it goes to.

    Where it is a folder alone, with the other settings of the file.
    """
    given = given or (os.environ.get("RUNWATCH_SPOOL") if is_real else None)
    if not given:
        return spooling.checked(found) if is_real and found is not None and str(found.folder) else None
    return spooling.checked(replace(found, folder=given) if isinstance(given, str | Path) and found else given)


def _settings(path: str | Path | None) -> tuple[Guardrails, Outgoing, Snapshots | None, Spool | None]:
    if path is None:
        return Guardrails(), Outgoing(), None, None
    from ..settings.agents import load_for_agent  # only now: it loads what reads YAML

    config = load_for_agent(path)
    for note in config.notes:
        LOGGER.warning("runwatch: %s", note)
    return config.guardrails, config.outgoing, config.snapshots, config.spool
