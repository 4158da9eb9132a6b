"""How the long-running parts are, by their own account: the health topic, read to its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from confluent_kafka import KafkaException

from ..compacted import standing
from ..config import Settings
from ..schemas.avro import load
from ..schemas.events import epoch_ms
from ..schemas.health import SILENT_MS, Health
from ..schemas.registry import RegistryError, open_registry
from ..schemas.topics import HEALTH
from ..schemas.wire import WireError, decode_body, split

_AMISS = {
    "missing": "events had not come when their run stopped: there were gaps in its `seq`",
    "repeats": "events came more than once, and were counted once",
    "unreadable": "messages could not be read; `dead_letters` has them",
    "unfinished": "runs fell silent without a stop",
    "ahead": "events say that they are from more than a day ahead; they count when they came",
    "ancient": "events say that they are from before the year 2000; they count when they came",
    "backwards": "events are more than a minute older than the first of their run",
    "nameless": "tool calls have no tool's name",
    "overflowing": "events are of tools that were too many for one window, and count as `(other)`",
    "late": "window parts came after their window was judged",
    "alerts_away": "receivers of alerts do not answer; `runwatch alerts test` says why",
    "alerts_given_up": "alerts were given up, refused by their receivers; `runwatch logs alerts` says why",
}
"""What is counted and should be nothing, in words."""


def read_health(settings: Settings, timeout_s: float = 3.0) -> list[Health]:
    """The last word of every worker that is there; none where Kafka does not answer in time."""
    registry, schema = open_registry(settings.registry), load("health")
    found: dict[str, Health] = {}
    try:
        for message in standing(settings.kafka_client(log_level=0), settings.topic(HEALTH.name), timeout_s):
            try:
                schema_id, body = split(message.value())
                record = decode_body(body, registry.schema_of(schema_id), schema)
            except WireError:
                continue
            health = Health.from_record(record | {name: epoch_ms(record[name]) for name in ("ts_ms", "started_ms")})
            found[health.worker] = health
    except (KafkaException, RegistryError):
        return []
    except TimeoutError:
        pass  # what was read by then is better than nothing
    now_ms = time.time() * 1000
    return [one for _, one in sorted(found.items()) if now_ms - one.ts_ms < SILENT_MS]


def counted(workers: Iterable[Health]) -> dict[str, int]:
    """What they have counted, together."""
    total: Counter[str] = Counter()
    for worker in workers:
        total.update(worker.counts)
    return dict(total)


def of_alerts(counts: dict[str, int]) -> str:
    """What the alerts did, in a sentence."""
    return (
        f"{counts.get('alerts_sent', 0):,} alerts sent to {counts.get('alerts_receivers', 0):,} receivers, "
        f"{counts.get('alerts_failed', 0):,} tries failed, {counts.get('alerts_waiting', 0):,} episodes wait."
    )


def amiss(counts: dict[str, int]) -> list[str]:
    """What of it is amiss, a sentence each."""
    return [f"{counts[name]:,} {what}." for name, what in _AMISS.items() if counts.get(name)]
