"""`Health`, typed; its fields are those of `health.avsc`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SILENT_MS = 60_000
"""Who has said nothing for so long is not there any more."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a long-running part is. See `health.avsc` for what each field means."""

    worker: str
    part: str
    ts_ms: int
    started_ms: int
    counts: Mapping[str, int]

    def to_record(self) -> dict[str, Any]:
        """The report as the dict that Avro writes."""
        return {
            "worker": self.worker,
            "part": self.part,
            "ts_ms": self.ts_ms,
            "started_ms": self.started_ms,
            "names": list(self.counts),
            "values": list(self.counts.values()),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Health:
        """From a decoded record, its times in milliseconds."""
        counts = dict(zip(record["names"], record["values"], strict=False))
        return cls(record["worker"], record["part"], record["ts_ms"], record["started_ms"], counts)


def this_worker() -> str:
    """This process, by a name that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}"
