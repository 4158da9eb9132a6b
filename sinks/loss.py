"""How much was lost between agents and ClickHouse: places in runs that nothing is stored of.

A run's events are numbered 0, 1, 2 …, whoever drops them. So what is stored tells what is missing, from the first place
to the highest that was seen; what came after that, nobody knows. An event that comes late fills its place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..clickhouse import StoreError, connect, told
from ..config import Settings
from ..metrics.labels import OTHER, clean
from .ddl import quoted
from .trouble import Trouble

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

EVERY_S = 60.0
AT_FIRST_S = 10.0
"""The same while nothing is known of any run: whoever has just begun wants to see something."""
ASKING = 0.02
"""The share of its time that the sink asks at the most: a million runs take ClickHouse a second and a half."""
PATIENCE_S = 300.0
SPAN_H = 24
"""Of which runs it is told: such as had an event stored within so many hours."""
SETTLED_S = 10
"""A run whose last event was stored a moment ago may have others under way."""
MOST_MISSING = 1_000_000
"""What one run counts at the most: places are what agents say."""

MOST_AGENTS = 1_000
"""Agents that metrics have by name, as a worker's."""

# Rows of a run from before are read for as long again. One that began before that counts from the first place that is
# read, since what was before may be there and not be looked at.
_LOSS = """
SELECT agent, count() AS runs, sum(places) AS events, sum(missing) AS lost, countIf(missing > 0) AS gaps
FROM
(
    SELECT
        r.run_id AS run, any(r.agent) AS agent,
        groupBitmapMergeState(r.seqs) AS seqs,
        if(min(r.ingested_at) < now() - toIntervalHour(2 * {hours} - 1), bitmapMin(seqs), 0) AS first,
        bitmapCardinality(seqs) AS stored,
        stored + missing AS places,
        least(bitmapMax(seqs) + 1 - first - stored, {most}) AS missing
    FROM {database}.run_hours_stored AS r
    WHERE r.ingested_at >= now() - toIntervalHour(2 * {hours})
    GROUP BY run
    HAVING stored > 0 AND max(r.ingested_at) >= now() - toIntervalHour({hours})
        AND max(r.ingested_at) <= now64(3) - toIntervalMillisecond({settled_ms})
)
GROUP BY agent
ORDER BY events DESC, agent
SETTINGS max_bytes_before_external_group_by = 500000000
"""


@dataclass(frozen=True, slots=True)
class Loss:
    """What is missing of some runs."""

    runs: int = 0
    events: int = 0
    """Events that there were, as far as places tell: stored ones and missing ones."""
    lost: int = 0
    """Those of them that are not stored."""
    gaps: int = 0
    """Runs of which some are not."""

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.runs + other.runs, self.events + other.events, self.lost + other.lost, self.gaps + other.gaps)

    def counts(self) -> dict[str, int]:
        """By the names that `runwatch status` has for them."""
        return {
            "stored_runs": self.runs,
            "stored_expected": self.events,
            "stored_lost": self.lost,
            "stored_gaps": self.gaps,
        }

    def sentence(self) -> str:
        """What a person is told."""
        share = f" ({self.lost / self.events:.4%})" if self.lost else ""
        return (
            f"End to end, last {SPAN_H} hours: {self.lost:,} of {self.events:,} events are missing{share}, in "
            f"{self.gaps:,} of {self.runs:,} runs."
        )


def ask_loss(client: Client, settings: Settings, *, settled_s: float = SETTLED_S) -> dict[str, Loss]:
    """What is missing now, by agent, those with most events first. Raises `StoreError`."""
    query = _LOSS.format(
        database=quoted(settings.database), hours=SPAN_H, most=MOST_MISSING, settled_ms=round(1000 * settled_s)
    )
    with told(settings):
        rows = client.query(query).result_rows
    return {str(agent): Loss(int(runs), int(events), int(lost), int(gaps)) for agent, runs, events, lost, gaps in rows}


def total(losses: Iterable[Loss]) -> Loss:
    """All of them together."""
    return sum(losses, Loss())


def labelled(losses: dict[str, Loss]) -> dict[str, Loss]:
    """By agent as a label: the largest by name, the others as one."""
    found: dict[str, Loss] = {}
    for place, (agent, loss) in enumerate(losses.items()):
        name = clean(agent) if place < MOST_AGENTS else OTHER
        found[name] = found.get(name, Loss()) + loss
    return found


def keep_asking(
    settings: Settings, stop: threading.Event, tell: Callable[[dict[str, Loss]], None], every_s: float = EVERY_S
) -> None:
    """Tells what is missing, by label, every `every_s` seconds, or more seldom, until `stop` is set."""
    trouble = Trouble(log, "the question of what is lost", time.monotonic)
    found: dict[str, Loss] = {}
    while not stop.is_set():
        began = time.monotonic()
        try:
            client = connect(settings, timeout_s=PATIENCE_S)
            try:
                found = labelled(ask_loss(client, settings))
                tell(found)
            finally:
                client.close()
        except StoreError as error:
            trouble.begin(f"What is lost is not known: {error}")
        else:
            trouble.end()
        pause_s = every_s if found else min(every_s, AT_FIRST_S)
        stop.wait(max(pause_s, (time.monotonic() - began) / ASKING))
