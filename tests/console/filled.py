"""Databases in the real ClickHouse, with what a test puts there as the sink does."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro

from runwatch.clickhouse import connect
from runwatch.config import Settings
from runwatch.schemas.avro import load
from runwatch.schemas.container import pack
from runwatch.sinks.insert import ClickHouseLanding
from runwatch.sinks.lead import lead_bodies, lead_bytes
from runwatch.sinks.migrate import migrate
from runwatch.sinks.query import Reader
from runwatch.sinks.routes import LEAD


class Filled:
    """A database of its own with runwatch's tables."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = connect(settings)
        migrate(self.client, settings)
        self.client.database = settings.database
        self.reader = Reader(settings)
        self._landing = ClickHouseLanding(settings, self.client)
        self._at = 0

    def insert(self, table: str, schema: str, records: list[dict[str, Any]]) -> None:
        """Rows into a landing table; `schema` by the name of its file."""
        its = load(schema)
        values = []
        for record in records:
            out = BytesIO()
            fastavro.schemaless_writer(out, its.parsed, record)
            values.append(out.getvalue())
        places = list(range(self._at, self._at + len(records)))
        self._at += len(records)
        self._landing.insert(table, pack(lead_bodies(lead_bytes(1, 0), places, values, 0), its, LEAD))

    def events(self, *events: dict[str, Any]) -> None:
        """Events, whose fields are those of `event`."""
        self.insert("events_in", "agent_event", list(events))

    def anomaly(self, anomaly_id: str, **fields: Any) -> None:
        """An episode that is open."""
        whole = {"rule": "loop.repeat", "state": "open", "severity": "critical", "ts_ms": 5, "onset_ms": 2}
        whole |= {"agent": "support", "value": 1.0, "message": "said"}
        self.insert("anomalies_in", "anomaly", [whole | {"anomaly_id": anomaly_id, **fields}])

    def command(self, control_id: str, scope: str, mode: str, ts_ms: int, **fields: Any) -> None:
        """A command to agents."""
        whole = {"why": "since it loops", "by": "ann", "expires_ms": None, "anomaly_id": None, **fields}
        self.insert(
            "control_in", "control", [{"control_id": control_id, "scope": scope, "mode": mode, "ts_ms": ts_ms, **whole}]
        )

    def close(self) -> None:
        self.reader.close()
        self.client.command(f"DROP DATABASE {self.settings.database}")
        self.client.close()


def event(run_id: str, seq: int, kind: str = "tool_result", **fields: Any) -> dict[str, Any]:
    """An event; its time is 1000 ms after the one before."""
    whole = {"event_id": f"{run_id}-{seq}", "run_id": run_id, "seq": seq, "kind": kind, "ts_ms": 1000 * seq}
    return whole | {"agent": "support", "status": "ok" if kind == "tool_result" else "none"} | fields
