"""A reader of what is stored, that waits for a sink which is still making the tables."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..config import Settings
from .output import say

if TYPE_CHECKING:
    from ..sinks.query import Reader

WAIT_S = 20.0
"""How long a sink may take to make its tables."""


def open_reader(settings: Settings, wait_s: float = WAIT_S) -> Reader:
    """A `Reader`, once the tables are there; else raises the `StoreError` that says they are not.

    `runwatch up` comes back when the sink has been started, which is a moment before it has made its tables.
    """
    from ..clickhouse import StoreMissing
    from ..sinks.query import Reader

    reader = Reader(settings)
    deadline = time.monotonic() + wait_s
    waited = False
    while True:
        try:
            reader.rows("SELECT 1 FROM runs, anomalies LIMIT 0")
            return reader
        except StoreMissing:
            if time.monotonic() > deadline:
                raise
        if not waited:
            say(f"No tables in ClickHouse yet; waiting up to {wait_s:.0f} s for the sink to make them.")
            waited = True
        time.sleep(0.2)
