"""`runwatch alert`: starts what each receiver needs, keeps it going until it is stopped, and says how it is."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from ..config import Settings
from ..control.follow import Follower
from ..control.state import ControlState
from ..schemas import topics
from ..schemas.registry import Registry, open_registry
from ..settings.alerts import Alerts, Receiver
from ..signals import stop_on_signals
from .build import Sender, build
from .choose import Choice, MayBeTold, Silences
from .deliver import Delivery, Desk, Stats, consumer_config
from .memory import Memory
from .outbox import Outbox, Pace
from .report import Reporter
from .secrets import ReceiverError
from .standing import Stand
from .told import Told

log = logging.getLogger(__name__)

LOADED_S = 10.0
AGAIN_S = 5.0
SELDOM_S = 60.0
FINISH_S = 12.0
"""How long a message that is on its way may take when we are stopped."""


def run_alerts(
    settings: Settings,
    alerts: Alerts,
    may_be_told: MayBeTold,
    stop: threading.Event | None = None,
    environ: Mapping[str, str] | None = None,
    stats: dict[str, Stats] | None = None,
) -> dict[str, Stats]:
    """Tells the receivers until `stop` is set; where none is given, until SIGTERM or SIGINT.

    `may_be_told`: the policy's word. A receiver that cannot be used is told of in the log, and the others are told all
    the same. Raises `ReceiverError` where none can. Returns what it did, by receiver, in `stats` where that is given.
    """
    stop = stop or stop_on_signals()
    senders = _senders(alerts, os.environ if environ is None else environ)
    if not senders:
        log.warning("no receivers are set under alerts.receivers: nobody is told of anything")
        stop.wait()
        return {}
    kafka = settings.kafka_client()
    registry = open_registry(settings.registry)
    _make_topics(settings)
    follower = Follower(
        kafka,
        settings.topic(topics.CONTROL.name),
        lambda: open_registry(settings.registry),
        _Seldom(),
        settings.signers(),
    )
    follower.start()
    # A silence is known before the first message; where the topic is away, alerts are not held up.
    follower.wait_loaded(LOADED_S)
    memory = Memory(kafka, settings.topic(topics.ALERTS.name), registry)
    stats = {} if stats is None else stats
    threads = []
    for receiver, sender in senders:
        make = _maker(
            settings, receiver, sender, _desks(alerts, receiver, may_be_told, follower.state), memory, registry
        )
        stats[receiver.name] = Stats()
        threads.append(
            threading.Thread(
                target=_keep_telling,
                args=(receiver.name, make, stats, stop),
                name=f"alerts-{receiver.name}",
                daemon=True,
            )
        )
    reporter = Reporter(settings, registry, stats)
    for thread in threads:
        thread.start()
    log.info("tells %s of %s", ", ".join(stats), settings.topic(topics.ANOMALIES.name))
    reporter.run(stop)
    deadline = time.monotonic() + FINISH_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    follower.close()
    return stats


class _Seldom:
    """What the control topic's reader tells, each kind of it once a minute at the most."""

    def __init__(self) -> None:
        self._told_s: dict[str, float] = {}

    def __call__(self, kind: str, message: str, *values: object) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s.get(kind, -SELDOM_S) >= SELDOM_S:
            self._told_s[kind] = now_s
            log.warning(message, *values)


def _senders(alerts: Alerts, environ: Mapping[str, str]) -> list[tuple[Receiver, Sender]]:
    found, wrong = [], []
    for receiver in alerts.receivers:
        try:
            found.append((receiver, build(receiver, environ, alerts.link)))
        except ReceiverError as error:
            log.error("%s", error)
            wrong.append(error)
    if wrong and not found:
        raise ReceiverError(" ".join(map(str, wrong)))
    return found


def _desks(alerts: Alerts, receiver: Receiver, may_be_told: MayBeTold, state: ControlState) -> Callable[[Told], Desk]:
    choice = Choice(receiver, may_be_told)
    silences = Silences(alerts.silences, state)
    pace = Pace(alerts.group_for, max(alerts.group_for, alerts.group_at_most), alerts.per_hour)

    def make(told: Told) -> Desk:
        if receiver.kind == "alertmanager":
            return Stand(choice.wants, silences.silenced, alerts.loops_last, told)
        return Outbox(choice.wants, silences.silenced, pace, told, ends=receiver.resolved)

    return make


def _maker(
    settings: Settings,
    receiver: Receiver,
    sender: Sender,
    desk: Callable[[Told], Desk],
    memory: Memory,
    registry: Registry,
) -> Callable[[], Delivery]:
    config = consumer_config(f"{settings.prefix}runwatch-alerts-{receiver.name}", settings.kafka_client())
    topic = settings.topic(topics.ANOMALIES.name)
    return lambda: Delivery(receiver.name, sender, desk, memory, registry, config, topic)


def _keep_telling(name: str, make: Callable[[], Delivery], stats: dict[str, Stats], stop: threading.Event) -> None:
    """Runs a receiver's loop, and runs it again should it fail: the other receivers are not to suffer for it."""
    while not stop.is_set():
        try:
            delivery = make()
            delivery.stats = stats[name]
            delivery.run(stop)
        except Exception as error:  # whatever it is, the next try may work, and nothing is lost meanwhile
            log.error("%s begins again in %.0f s after: %s: %s", name, AGAIN_S, type(error).__name__, error)
            stop.wait(AGAIN_S)


def _make_topics(settings: Settings) -> None:
    try:
        topics.ensure_topics(
            settings.kafka,
            settings.prefix,
            partitions=settings.partitions,
            replication=settings.replication,
            extra=settings.kafka_client(),
        )
    except topics.TopicsError as error:
        # They may be there all the same: many may read topics and not make them.
        log.warning("%s", error)
