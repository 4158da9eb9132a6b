"""`Snapshot`, typed; its fields are those of `snapshot.avsc`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PayloadKind = Literal["other", "args", "result"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A redacted and sealed payload. See `snapshot.avsc` for what each field means."""

    sha: str
    kind: PayloadKind
    ts_ms: int
    agent: str
    key_id: str
    sealed: bytes
    payload_chars: int
    kept_chars: int
    truncated: bool = False
    tool: str | None = None
    redacted: Mapping[str, int] = field(default_factory=dict)
    """Kind → how many were taken out."""

    def to_record(self) -> dict[str, Any]:
        """The snapshot as the dict that Avro writes."""
        record = {name: getattr(self, name) for name in self.__slots__ if name != "redacted"}
        return record | {"redactions": list(self.redacted), "redaction_counts": list(self.redacted.values())}
