"""How long what is stored is kept: the tables' TTL, and topics that are not to keep it longer."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..clickhouse import told
from ..config import Settings
from ..schemas import topics
from .ddl import Layout, literal, quoted

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

DEAD_LETTER_DAYS = 14
"""What nobody looked at for so long is of no use, and may hold anything."""
# As ClickHouse writes it, whatever it was given as.
_TTL = re.compile(r"\bTTL toDateTime\(ingested_at\) \+ toIntervalDay\((\d+)\)")


@dataclass(frozen=True)
class Keep:
    """Days from the one on which a row was stored; the defaults are those of the migrations."""

    logs_days: int = 30
    snapshot_days: int = 14

    def tables(self) -> Mapping[str, int]:
        """Days by table."""
        return {
            "events_stored": self.logs_days,
            "window_parts_stored": self.logs_days,
            "five_minutes_stored": self.logs_days,
            "run_hours_stored": self.logs_days,
            "anomalies_stored": self.logs_days,
            "dead_letters_stored": min(self.logs_days, DEAD_LETTER_DAYS),
            "snapshots_stored": self.snapshot_days,
        }

    def topics(self) -> Mapping[str, int]:
        """Days by topic's last word, at the most."""
        logs = {topic.name: self.logs_days for topic in topics.ALL if "cleanup.policy" not in topic.config}
        return logs | {topics.SNAPSHOTS.name: self.snapshot_days}


def keep_tables(client: Client, settings: Settings, keep: Keep, *, cluster: str | None = None) -> list[str]:
    """Sets each table's TTL where it is another, and returns what changed. Raises `StoreError`.

    ClickHouse takes what is past its time away by itself, in the hours that follow.
    """
    layout = Layout(settings.database, cluster)
    on_cluster = f" ON CLUSTER {quoted(cluster)}" if cluster else ""
    changed: list[str] = []
    with told(settings):
        now = _days(client, layout)
        for table, days in keep.tables().items():
            if now.get(table, days) == days:
                continue
            name = f"{quoted(layout.database)}.{table}{'_local' if cluster else ''}"
            client.command(f"ALTER TABLE {name}{on_cluster} MODIFY TTL toDateTime(ingested_at) + INTERVAL {days} DAY")
            changed.append(f"{table}: {days} days" + ("" if now[table] is None else f" ({now[table]} before)"))
    if changed:
        log.info("database %s keeps %s", settings.database, ", ".join(changed))
    return changed


def _days(client: Client, layout: Layout) -> dict[str, int | None]:
    """Days by table, of those that are there; None for one that has another TTL, or none."""
    ending = "_local" if layout.cluster else ""
    names = ", ".join(literal(table + ending) for table in Keep().tables())
    rows = client.query(
        "SELECT name, create_table_query FROM system.tables"
        f" WHERE database = {literal(layout.database)} AND name IN ({names})"
    ).result_rows
    found = ((str(name).removesuffix(ending), _TTL.search(query)) for name, query in rows)
    return {name: None if ttl is None else int(ttl[1]) for name, ttl in found}


def keep_topics(settings: Settings, keep: Keep) -> None:
    """Shortens topics that keep longer; a topic that keeps less stays as it is. What hinders it is logged."""
    try:
        changed = topics.shorten(settings.kafka, settings.prefix, keep.topics(), extra=settings.kafka_client())
    except topics.TopicsError as error:
        log.warning("%s", error)
        return
    if changed:
        log.info("topics are kept for less: %s", ", ".join(changed))
