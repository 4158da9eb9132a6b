"""Whether anything new was found: asked every moment for all viewers, so that little else is asked so often."""

from __future__ import annotations

from typing import Final

from .ask.incidents import Counts, count_open, newest_ms
from .context import Context

BEAT_S: Final = 1.0
"""How often a page asks."""
_YOUNG_S: Final = 0.6
"""An answer of so short a time ago is good for the next who asks: less than a beat, or each second one would be old."""
_AT_LEISURE_S: Final = 2.0
"""How old it may be for the count in the head of each page; where the page itself asks, the count asks nothing."""
AGAIN_S: Final = 10.0
"""What is open may also end without a word: the run of a loop stops."""


async def pulse(context: Context, young_s: float = _YOUNG_S) -> int:
    """Changes with every new state of an episode: when the newest was stored; 0 where that was never known."""
    return (await context.live.ask("incidents-newest", young_s, newest_ms)).value or 0


async def open_counts(context: Context) -> Counts | None:
    """How many incidents are open; None where that was never known."""
    return (await context.live.ask(("incidents-open", await pulse(context, _AT_LEISURE_S)), AGAIN_S, count_open)).value
