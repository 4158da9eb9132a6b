"""`Hold`, typed; its fields are those of `hold.avsc`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

HoldState = Literal["held", "resumed", "drained"]


@dataclass(frozen=True, slots=True)
class Hold:
    """That a part does not read a topic on, or that it does again. See `hold.avsc` for what each field means."""

    part: str
    topic: str
    state: HoldState
    ts_ms: int
    why: str
    by: str

    @property
    def key(self) -> str:
        """The message key: one for each part and topic."""
        return f"{self.part} {self.topic}"

    def to_record(self) -> dict[str, Any]:
        """The word as the dict that Avro writes."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Hold:
        """From a decoded record, its time in milliseconds."""
        return cls(**record)
