"""`runwatch sink`: wires the consumer, the writer and ClickHouse together, and runs them until it is stopped."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from ..clickhouse import StoreAway, connect, told
from ..config import Settings
from ..deadletters.guard import Guard
from ..deadletters.limit import Limit
from ..deadletters.words import Words, WordsError
from ..schemas import topics
from ..schemas.registry import RegistryError, open_registry
from ..signals import stop_on_signals
from .batch import Bad, Limits
from .consume import Loop, consumer_config
from .deadletter import DeadLetters
from .insert import ClickHouseLanding, Landing
from .loss import keep_asking
from .migrate import migrate
from .resume import Stretches, source_of, stored
from .retention import Keep, keep_tables, keep_topics
from .rollup import keep_rolling
from .routes import Route, routes
from .stats import Stats
from .trouble import Trouble
from .writer import Writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

REQUEST_S = 60.0
"""An insert takes a fraction of a second; a ClickHouse that takes this long hangs."""
MIGRATION_S = 1800.0
"""A migration may read all that is stored, a million events a second."""
START_PAUSE_S = 2.0


def run_sink(
    settings: Settings,
    stop: threading.Event | None = None,
    *,
    keep: Keep | None = None,
    limits: Limits | None = None,
    stats: Stats | None = None,
    limit: Limit | None = None,
) -> Stats:
    """Stores every topic of the fleet in ClickHouse until `stop` is set; where none is given, until SIGTERM or SIGINT.

    Brings the tables up to date first, and has them keep what they hold for as long as `keep` says. Waits for what
    is away. Returns what it did. Raises `StoreDenied` and other `StoreError`s at the start only, where waiting would
    not help.
    """
    if stop is None:
        stop = stop_on_signals()
    stats = stats if stats is not None else Stats()
    if not _prepare(settings, keep or Keep(), stop):
        return stats
    by_topic = routes(settings)
    registry = open_registry(settings.registry)
    guard = Guard("sink", limit or Limit(), Words(settings, registry))
    try:
        guard.look()
    except (WordsError, RegistryError) as error:
        log.warning("Which topics are held is not known yet. %s", error)
    writer = Writer(_World(settings), by_topic, registry, stats, stop, guard)
    config = consumer_config(settings.kafka, f"{settings.prefix}runwatch-sink", settings.kafka_client())
    log.info("stores %s in %s, database %s", ", ".join(by_topic), settings.clickhouse, settings.database)
    rolling = threading.Thread(target=keep_rolling, args=(settings, stop), name="sink-rollup", daemon=True)
    rolling.start()
    asking = threading.Thread(target=keep_asking, args=(settings, stop, stats.lost), name="sink-loss", daemon=True)
    asking.start()
    Loop(config, by_topic, writer, stats, limits or Limits(), guard).run(stop)
    # Daemons, so that a ClickHouse that hangs does not keep a stopped sink alive.
    rolling.join(timeout=5)
    asking.join(timeout=5)
    return stats


class _World:
    """`writer.Boundary`: ClickHouse and Kafka as they are, a ClickHouse connection for each thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = threading.local()
        self._admin = AdminClient(settings.kafka_client(log_level=0))
        self._dead = DeadLetters(settings.kafka, settings.topic(topics.DEADLETTER.name), settings.kafka_client())

    def landing(self) -> Landing:
        return ClickHouseLanding(self._settings, self._connected())

    def disconnect(self) -> None:
        client: Client | None = getattr(self._local, "client", None)
        self._local.client = None
        if client is not None:
            client.close()

    def source(self, topic: str) -> int:
        return source_of(self._admin, topic)

    def stored(self, route: Route, source: int, partition: int, first: int) -> Stretches:
        client = self._connected()
        with told(self._settings):
            return stored(client, self._settings.database, route.stored, source, partition, first)

    def send_dead(self, letters: list[Bad]) -> None:
        self._dead.send(letters)

    def _connected(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = connect(self._settings, timeout_s=REQUEST_S)
        return client


def _prepare(settings: Settings, keep: Keep, stop: threading.Event) -> bool:
    """Tables and topics, waiting for ClickHouse; False where it was stopped first. Raises `StoreError`."""
    trouble = Trouble(log, "ClickHouse", time.monotonic)
    while not stop.is_set():
        try:
            client = connect(settings, timeout_s=MIGRATION_S)
            try:
                migrate(client, settings, stop=stop)
                keep_tables(client, settings, keep)
            finally:
                client.close()
        except StoreAway as error:
            trouble.begin(f"{error} Trying on")
            stop.wait(START_PAUSE_S)
            continue
        trouble.end()
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
        keep_topics(settings, keep)
        return not stop.is_set()
    return False
