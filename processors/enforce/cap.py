"""A cap on what is asked for within an hour: a fuse, which stays open for as long as too much is asked."""

from __future__ import annotations

from ...settings.policy import HOUR_MS


class Cap:
    """How many different scopes a policy's entry asked to command lately, by log time.

    What is asked for counts, whether or not it is granted. So the answer follows from the hour before alone: a worker
    that replays an hour caps what one that lived on would have. And a rule that asks without end is not obeyed again
    each hour: only once it asks for less.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Scope → when it was last asked for; the one asked for longest ago is first.
        self._asked: dict[str, int] = {}

    def grants(self, scope: str, log_ms: int) -> bool:
        """Notes that `scope` is asked for; says whether fewer others than may be were within the hour before."""
        self._asked.pop(scope, None)
        while self._asked:
            oldest = next(iter(self._asked))
            if self._asked[oldest] > log_ms - HOUR_MS and len(self._asked) <= self._most:
                break
            # Of too many the newest are as many as may be for as long as it matters.
            del self._asked[oldest]
        granted = len(self._asked) < self._most
        self._asked[scope] = log_ms
        return granted
