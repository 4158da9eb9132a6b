"""What a receiver was told of, so that it is told once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Literal

from ..schemas.anomalies import Anomaly
from .choose import never_ends

MOST_OVER = 50_000
"""Episodes that are over and remembered: somebody may say once more that they began."""
MOST_OPEN = 20_000


class Told:
    """Anomalies by their ids, as the receiver was last told of them."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Anomaly] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()

    def put(self, anomaly: Anomaly) -> None:
        """The receiver was told of this."""
        if anomaly.state == "resolved" or never_ends(anomaly):
            self._open.pop(anomaly.anomaly_id, None)
            self._over[anomaly.anomaly_id] = None
            if len(self._over) > MOST_OVER:
                self._over.popitem(last=False)
        else:
            self._open[anomaly.anomaly_id] = anomaly
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)

    def of(self, anomaly_id: str) -> Literal["open", "over"] | None:
        """What the receiver knows of an episode: that it is open, that nothing more will come of it, or nothing."""
        if anomaly_id in self._open:
            return "open"
        return "over" if anomaly_id in self._over else None

    def open(self) -> Iterator[Anomaly]:
        """The episodes that are open, as far as the receiver knows."""
        return iter(list(self._open.values()))
