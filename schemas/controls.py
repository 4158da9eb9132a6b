"""`Control`, typed; its fields are those of `control.avsc`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Mode = Literal["allow", "disable_writes", "stop"]


@dataclass(frozen=True, slots=True)
class Control:
    """A command to agents within a scope. See `control.avsc` for what each field means."""

    control_id: str
    scope: str
    mode: Mode
    ts_ms: int
    why: str
    by: str
    expires_ms: int | None = None
    anomaly_id: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The command as the dict that Avro writes."""
        return asdict(self)
