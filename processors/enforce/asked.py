"""A cap on what is asked for within an hour: a fuse, which stays open for as long as too much is asked."""

from __future__ import annotations

from ...settings.policy import HOUR_MS


class Asked:
    """Which scopes a policy's entry asked to command within the last hour, by log time.

    What is asked for counts, whether or not it is granted. So the answer follows from the hour before alone: a worker
    that replays an hour caps what one that lived on would have. And a rule that asks without end is not obeyed again
    each hour: only once it asks for less.
    """

    def __init__(self, most: int) -> None:
        """`most`: up to which number they are counted."""
        self._most = most
        # Scope → when it was last asked for; the one asked for longest ago is first.
        self._asked: dict[str, int] = {}

    def others(self, scope: str, log_ms: int) -> int:
        """Notes that `scope` is asked for; how many others were within the hour before, up to `most`."""
        self._asked.pop(scope, None)
        while self._asked:
            oldest = next(iter(self._asked))
            if self._asked[oldest] > log_ms - HOUR_MS and len(self._asked) <= self._most:
                break
            # Of too many the newest are as many as are counted, for as long as it matters.
            del self._asked[oldest]
        others = len(self._asked)
        self._asked[scope] = log_ms
        return others
