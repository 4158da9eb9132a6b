"""All fleet-wide rules: parts in, anomalies out. The same live and over history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...schemas.anomalies import Anomaly
from .failing import FailingJudge
from .handoffs import HandoffJudge
from .merge import FleetMerger, FleetWindow
from .rules import FleetRules
from .storms import RETRIES, TIMEOUTS, StormJudge


class FleetJudge:
    """Merges the parts of all partitions and judges the windows that are whole."""

    def __init__(self, rules: FleetRules) -> None:
        self._merger = FleetMerger(rules)
        self._failing = FailingJudge(rules.failing)
        self._retries = StormJudge(RETRIES, rules.retries)
        self._timeouts = StormJudge(TIMEOUTS, rules.timeouts)
        self._handoffs = HandoffJudge(rules.handoffs)
        # End of the last window that was judged.
        self._judged_ms: int | None = None
        # After so long without anything, no episode is open.
        self._longest_ms = rules.window + max(rules.failing.within, rules.handoffs.cool)

    def add(self, part: Mapping[str, Any], log_ms: int) -> None:
        """Takes a part, as `FleetMerger.add`."""
        self._merger.add(part, log_ms)

    def judge(self, log_ms: int) -> list[Anomaly]:
        """What the windows show that are whole by now (log time), in their order."""
        return self._judged(self._merger.ready(log_ms))

    def judge_until(self, through_ms: int) -> list[Anomaly]:
        """What the windows show that end by then (event time), of a history whose parts are all there up to then."""
        return self._judged(self._merger.until(through_ms))

    def _judged(self, windows: Iterable[FleetWindow]) -> list[Anomaly]:
        return [
            anomaly
            for window in windows
            for one in (*self._empty_before(window), window)
            for anomaly in (
                *self._failing.judge(one),
                *self._retries.judge(one, one.retries),
                *self._timeouts.judge(one, one.timeouts),
                *self._handoffs.judge(one),
            )
        ]

    def _empty_before(self, window: FleetWindow) -> Iterator[FleetWindow]:
        """The windows in which nothing happened: episodes end in them too, whether or not somebody told of them."""
        length = window.end_ms - window.start_ms
        last, self._judged_ms = self._judged_ms, window.end_ms
        if last is not None:
            for start_ms in range(last, min(window.start_ms, last + self._longest_ms), length):
                yield FleetWindow(start_ms, start_ms + length)

    @property
    def late(self) -> int:
        """Parts that came after their window was judged."""
        return self._merger.late
