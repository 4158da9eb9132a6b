"""Sums window parts up to hours, which outlive them: again and again, each hour as a whole.

An hour is made anew from all of its parts whenever one of them has changed, and replaces what was there: so
it does not matter how often this runs, or where, or when it was cut off.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from ..clickhouse import StoreError, connect, told
from ..config import Settings
from .ddl import quoted
from .trouble import Trouble

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

EVERY_S = 120.0
MARGIN_S = 60
"""Parts stored this long before the last time are looked at again: an insert that was under way then."""

_SUMS = (
    *("events", "runs_started", "runs_stopped", "successes", "model_calls", "tool_calls", "tool_errors", "retries"),
    *("rate_limited", "input_tokens", "output_tokens", "cost_usd", "outcome_sum", "outcome_count"),
    *("run_tool_calls_sum", "run_ms_sum", "run_cost_usd_sum"),
)
_MAPS = (
    ("stop_reasons", "stop_reason_counts"),
    *((f"{name}_keys", f"{name}_counts") for name in ("call_ms", "run_tool_calls", "run_ms", "run_cost_usd")),
    ("request_tokens_keys", "request_tokens_counts"),
)
_GROUP = "hour, window_ms, agent, agent_version, model, tool, slot_day"
_HOUR = "toStartOfInterval(window_start, toIntervalHour(1))"


def rollup_statement(database: str) -> str:
    """The one statement that brings every hour up to date of which a part is newer than the last rollup."""
    db = quoted(database)
    columns = ["window_start", "window_ms", "agent", "agent_version", "model", "tool", "slot_day"]
    values = ["hour", "window_ms", "agent", "agent_version", "model", "tool", "slot_day"]
    columns += ["watermark", "closed", *_SUMS]
    values += ["max(p.watermark)", "min(p.closed)", *(f"sum(p.{name})" for name in _SUMS)]
    for keys, counts in _MAPS:
        columns += [keys, counts]
        values += [f"(sumMap(p.{keys}, p.{counts}) AS {keys}_map).1", f"{keys}_map.2"]
    return f"""
INSERT INTO {db}.hours_stored ({", ".join(columns)}, rolled_at)
WITH
    (SELECT max(rolled_at) - toIntervalSecond({MARGIN_S}) FROM {db}.hours_stored) AS since,
    changed AS
    (
        SELECT DISTINCT {_HOUR} AS hour, toDate(slot) AS slot_day
        FROM {db}.window_parts_stored WHERE ingested_at > since
    )
SELECT {", ".join(values)}, now64(3)
FROM
(
    SELECT *, {_HOUR} AS hour, toDate(slot) AS slot_day
    FROM {db}.window_parts_stored FINAL
    WHERE window_start >= (SELECT min(hour) FROM changed)
      AND window_start < (SELECT max(hour) + toIntervalHour(1) FROM changed)
) AS p
WHERE (hour, slot_day) IN (SELECT hour, slot_day FROM changed)
GROUP BY {_GROUP}
"""


def roll_up(client: Client, settings: Settings) -> None:
    """Brings the hours up to date. Raises `StoreError`."""
    with told(settings):
        client.command(rollup_statement(settings.database), settings={"async_insert": 0})


def keep_rolling(settings: Settings, stop: threading.Event, every_s: float = EVERY_S) -> None:
    """Does so every `every_s` seconds until `stop` is set; what fails is tried again the next time."""
    trouble = Trouble(log, "summing up hours", time.monotonic)
    while not stop.wait(every_s):
        try:
            client = connect(settings)
            try:
                roll_up(client, settings)
            finally:
                client.close()
        except StoreError as error:
            trouble.begin(f"hours are not summed up: {error}")
        else:
            trouble.end()
