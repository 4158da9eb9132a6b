"""Whether recorded runs lie in the order of time, told from their times alone: reading them as events takes longer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .reading import STDIN, chunks, lines, open_source

_TIME = re.compile(rb'"ts_ms"\s*:\s*(\d{1,15})\b')


def disorder_ms(paths: Iterable[str]) -> int | None:
    """How far behind the latest time before it an event lies at the most, in milliseconds; 0 for perfect order.

    None where that cannot be told: of standard input, which is read once only, and where lines have no time, or
    several, that are whole numbers. Raises `ReadingError`.
    """
    latest = most = 0
    for path in paths:
        if path == STDIN:
            return None
        raw = open_source(path)
        with raw:
            for piece in lines(chunks(raw, path, lambda _: None)):
                found = _TIME.findall(piece.data)
                if len(found) != 1:
                    return None
                ts_ms = int(found[0])
                latest = max(latest, ts_ms)
                most = max(most, latest - ts_ms)
    return most
