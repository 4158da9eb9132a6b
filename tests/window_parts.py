"""Window parts, as the processors send them, and tables to put them into."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.schemas.avro import load
from runwatch.schemas.container import SENTINEL
from runwatch.sinks.migrate import migrate

GAMMA = 1.01 / 0.99
_FIELDS = load("window_part").raw["fields"]


def part(**fields: Any) -> dict[str, Any]:
    """A window part's record in which nothing happened."""
    empty: dict[str, Any] = {}
    for each in _FIELDS:
        kind = each["type"]
        if isinstance(kind, list):
            empty[each["name"]] = None
        elif isinstance(kind, dict):
            empty[each["name"]] = [] if kind["type"] == "array" else 0
        else:
            empty[each["name"]] = {"string": "support", "boolean": False}.get(kind, 0)
    return empty | {"window_ms": 60_000} | fields


def sketch(values: Iterable[float]) -> tuple[list[int], list[int]]:
    """Buckets and counts of these values."""
    counts = Counter(math.ceil(math.log(value) / math.log(GAMMA)) if value > 0 else -(2**31) for value in values)
    return list(counts), list(counts.values())


class Tables:
    """A database of its own with runwatch's tables, filled without Avro."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = connect(settings)
        migrate(self.client, settings)
        self.client.database = settings.database

    def close(self) -> None:
        self.client.command(f"DROP DATABASE {self.settings.database}")
        self.client.close()

    def put_parts(self, parts: Sequence[dict[str, Any]]) -> None:
        self.put("window_parts_in", parts)

    def put(self, table: str, records: Sequence[dict[str, Any]]) -> None:
        """Inserts records of one kind, all with the same fields; times are epoch milliseconds."""
        if not records:
            return
        names = list(records[0])
        rows = [
            [1, 0, at, *(_time(name, record[name]) for name in names), SENTINEL] for at, record in enumerate(records)
        ]
        self.client.insert(table, rows, ["kafka_source", "kafka_partition", "kafka_offset", *names, "_end"])


def _time(name: str, value: Any) -> Any:
    if value is None or not name.endswith("_ms") or name in ("window_ms", "duration_ms"):
        return value
    return datetime.fromtimestamp(value / 1000, UTC) if name in _TIMES else value


_TIMES = {"ts_ms", "onset_ms", "detected_ms", "window_start_ms", "slot_ms", "watermark_ms", "expires_ms"}
