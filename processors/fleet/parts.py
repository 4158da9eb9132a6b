"""Fleet parts as records: what tells them apart, and what one is that tells of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...schemas.avro import load

SUMS = ("calls", "errors", "storm", "timeouts")
"""The counts of a part, which add up."""

KEY = "fleet"
"""The key of every part's message: all of them are merged and judged in one place."""

EMPTY: Mapping[str, Any] = {
    **{field["name"]: field["default"] for field in load("fleet_part").raw["fields"] if "default" in field},
    # Polars' reader takes no schema with numbers as defaults.
    **dict.fromkeys(("piece", *SUMS), 0),
}
"""The fields that a part may leave out. Not to be changed: nor are its lists."""

Identity = tuple[int, str | None, str | None, int, int, int]


def identity(part: Mapping[str, Any]) -> Identity:
    """What tells a part from others; of two with the same, the one with the higher version holds."""
    return (
        part["window_start_ms"],
        part["tool"],
        part["args_sha"],
        part["piece"],
        part["source_partition"],
        part["slot_ms"],
    )
