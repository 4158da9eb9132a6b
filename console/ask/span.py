"""Which time is asked about, and in which steps; which part of the fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MINUTE_MS = 60_000
FIVE_MS = 5 * MINUTE_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

LENGTHS_MS = {
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "6h": 6 * HOUR_MS,
    "24h": DAY_MS,
    "7d": 7 * DAY_MS,
    "30d": 30 * DAY_MS,
}
"""The spans that people choose from, by name."""

# Up to which length, which step. A window is a minute by default: nothing is told apart within it.
_STEPS_MS = (
    (LENGTHS_MS["1h"], MINUTE_MS),
    (LENGTHS_MS["6h"], FIVE_MS),
    (LENGTHS_MS["24h"], 2 * FIVE_MS),
    (LENGTHS_MS["7d"], HOUR_MS),
    (LENGTHS_MS["30d"], 4 * HOUR_MS),
)
_MOST_POINTS = 200

Dimension = Literal["agent", "version", "model", "tool"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


@dataclass(frozen=True, slots=True)
class Span:
    """From then on and before then, as epoch milliseconds."""

    from_ms: int
    to_ms: int

    @classmethod
    def last(cls, name: str, now_ms: int) -> Span:
        """The last `15m`, `1h`, `6h`, `24h`, `7d` or `30d`. Raises `ValueError` for another name."""
        if name not in LENGTHS_MS:
            raise ValueError(f"A span is one of {', '.join(LENGTHS_MS)}, and this is {name!r}")
        return cls(now_ms - LENGTHS_MS[name], now_ms)

    @property
    def length_ms(self) -> int:
        return self.to_ms - self.from_ms


def step_ms(span: Span) -> int:
    """How long one point of a chart is: 60 to 200 points a span, of a minute at the least (so 15 of 15 minutes)."""
    for length_ms, step in _STEPS_MS:
        if span.length_ms <= length_ms:
            return step
    days = -(-span.length_ms // (_MOST_POINTS * DAY_MS))
    return days * DAY_MS


@dataclass(frozen=True, slots=True)
class Filter:
    """The part of the fleet that is of all these; None is any."""

    agent: str | None = None
    version: str | None = None
    model: str | None = None
    tool: str | None = None

    @property
    def given(self) -> dict[Dimension, str]:
        """What is asked for, by dimension."""
        values: dict[Dimension, str | None] = {
            "agent": self.agent,
            "version": self.version,
            "model": self.model,
            "tool": self.tool,
        }
        return {name: value for name, value in values.items() if value is not None}
