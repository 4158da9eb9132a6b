"""What the console has asked of ClickHouse, and how long that took; and the same for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric as Family

from ..metrics import names
from ..metrics.families import single, spread
from ..metrics.spread import Spread


class Asked:
    """Counts questions; it is told of them by the event loop alone, and read by any thread."""

    def __init__(self) -> None:
        self.seconds = Spread(names.QUESTION_SECONDS.bounds)
        self.failed = 0

    def answered(self, seconds: float) -> None:
        """A question was answered after so long, the wait for its turn included."""
        self.seconds.add(seconds)

    def unanswered(self) -> None:
        """A question was not."""
        self.failed += 1

    def collect(self) -> Iterator[Family]:
        """All of it, as it is now."""
        yield spread(names.QUESTION_SECONDS, [((), self.seconds.cumulated(), self.seconds.total)])
        yield single(names.QUESTIONS_FAILED, self.failed)
