"""What agents do, added up since the process began: a row an agent, a column a number.

Numbers come in as matrices, one for many frames, and are added in one step.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import Metric as Family

from ..schemas.reasons import KNOWN
from . import names
from .families import spread, valued
from .labels import OTHER, Places
from .names import Metric

MOST_AGENTS: Final = 1_000
"""Agents that have labels of their own; all others are counted together."""

REASONS: Final = (*sorted(KNOWN), OTHER)
"""Stop reasons that are told apart; a user's own are one, the last."""

COUNTERS: Final[Mapping[str, tuple[Metric, tuple[str, ...]]]] = {
    "events": (names.AGENT_EVENTS, ()),
    "model_calls": (names.AGENT_MODEL_CALLS, ()),
    "input_tokens": (names.AGENT_TOKENS, ("in",)),
    "output_tokens": (names.AGENT_TOKENS, ("out",)),
    "cost_usd": (names.AGENT_COST, ()),
    "tool_results": (names.AGENT_TOOL_RESULTS, ()),
    "tool_errors": (names.AGENT_TOOL_ERRORS, ()),
    "retries": (names.AGENT_RETRIES, ()),
    "rate_limited": (names.AGENT_RATE_LIMITED, ()),
    "refused": (names.AGENT_REFUSED, ()),
    **{f"stop:{reason}": (names.AGENT_STOP, (reason,)) for reason in REASONS},
}
"""Column → the counter it is, and its labels behind the agent's."""

HISTOGRAMS: Final[Mapping[str, Metric]] = {"tool_calls": names.AGENT_TOOL_CALLS, "run_ms": names.AGENT_RUN_LATENCY}
"""What of a run is spread over buckets: a column a bucket, from `buckets(name)` on, then its sum."""

COLUMN: Final[Mapping[str, int]] = {name: place for place, name in enumerate(COUNTERS)}
_FIRST: Final = dict(
    zip(
        HISTOGRAMS,
        np.cumsum([len(COUNTERS), *(len(metric.bounds) + 2 for metric in HISTOGRAMS.values())]).tolist(),
        strict=False,
    )
)
WIDTH: Final = len(COUNTERS) + sum(len(metric.bounds) + 2 for metric in HISTOGRAMS.values())
"""How many columns there are."""

Matrix = npt.NDArray[np.float64]


def buckets(name: str) -> slice:
    """The columns of a histogram's buckets, the one without end among them; its sum is the column behind them."""
    first = _FIRST[name]
    return slice(first, first + len(HISTOGRAMS[name].bounds) + 1)


class AgentTotals:
    """The totals by agent. Any thread may add, and any may collect."""

    def __init__(self, most: int = MOST_AGENTS) -> None:
        self.most = most
        self._place = Places(most)
        self._totals: Matrix = np.zeros((most + 1, WIDTH))
        self._lock = threading.Lock()

    def row(self, agent: str) -> int:
        """An agent's row; `most`, the last, is that of all who have none of their own."""
        with self._lock:
            return self._place(agent)

    def add(self, numbers: Matrix) -> None:
        """Adds numbers: `most + 1` rows, `WIDTH` columns."""
        with self._lock:
            self._totals += numbers

    def collect(self) -> Iterator[Family]:
        """The metrics of all agents that were ever seen; a known stop reason that nobody had is 0."""
        with self._lock:
            labels = list(self._place.used)
            totals = self._totals[: len(labels)].copy()
            if self._place.overflowing:
                totals = np.vstack([totals, self._totals[self.most]])
                labels.append(OTHER)
        by_metric: dict[Metric, list[tuple[tuple[str, ...], float]]] = {}
        for (metric, rest), values in zip(COUNTERS.values(), totals.T.tolist(), strict=False):
            samples = by_metric.setdefault(metric, [])
            samples.extend(((label, *rest), value) for label, value in zip(labels, values, strict=True))
        for metric, samples in by_metric.items():
            yield valued(metric, samples)
        for name, metric in HISTOGRAMS.items():
            where = buckets(name)
            counts = totals[:, where].cumsum(axis=1).astype(np.int64).tolist()
            sums = totals[:, where.stop].tolist()
            yield spread(metric, (((label,), *rest) for label, *rest in zip(labels, counts, sums, strict=True)))
