"""What an Alertmanager is told: not messages, but what stands now, over and over, until it is over.

No clock and no socket. An Alertmanager groups, silences and sends by itself; it takes an alert to be over that is not
posted again for a while, and knows alerts by their labels. So an alert is what has the same rule, severity, agent,
version and tool, and stands as long as one of its episodes is open. Loops are one run's each, and nobody says that they
are over: all of an agent's are one alert, which stands for a while after the last of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..schemas.anomalies import Anomaly
from .choose import LEVELS, never_ends
from .outbox import MOST_WAITING, Offsets
from .told import Told

REPOST_MS = 60_000
"""Alertmanager's manual: "on the order of 30 seconds to 3 minutes"."""
LASTS_MS = 5 * REPOST_MS
"""After so long without a word an alert is over: so a restart of ours does not end it."""
PAUSE_MS = 1_000
"""Between two posts, so that a storm is a few of them."""
MOST_POSTED = 500
"""Alerts in one post."""
MOST_RUNS = 10
"""Runs that an alert names."""

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Standing:
    """One alert."""

    labels: Labels
    starts_ms: int
    anomaly: Anomaly
    """The last that was found of it."""
    count: int = 0
    runs: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    until_ms: int | None = None
    """Of loops: until when it stands."""
    ended_ms: int | None = None
    version: int = 1
    """Grows with every change."""
    posted_version: int = 0
    posted_ms: int = 0


@dataclass(frozen=True, slots=True)
class Posted:
    """One alert as it is to be posted."""

    labels: Labels
    starts_ms: int
    ends_ms: int
    anomaly: Anomaly
    count: int
    runs: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Post:
    """What is posted at once."""

    alerts: tuple[Posted, ...]


@dataclass(slots=True)
class _Unsettled:
    """An episode of which something was not posted yet."""

    anomaly: Anomaly
    alerts: set[Labels]
    partition: int
    offset: int


class Stand:
    """One Alertmanager's."""

    def __init__(
        self,
        wants: Callable[[Anomaly], bool],
        silenced: Callable[[str, str, int], bool],
        loops_last_ms: int,
        told: Told,
    ) -> None:
        """Episodes that it was told of and that are open stand again."""
        self._wants = wants
        self._silenced = silenced
        self._loops_last_ms = loops_last_ms
        self._told = told
        self._alerts: dict[Labels, Standing] = {}
        self._where: dict[str, Labels] = {}
        self._unsettled: dict[str, _Unsettled] = {}
        self._next_post_ms = 0
        for anomaly in told.open():
            self._stands(anomaly, anomaly.onset_ms)

    def take(self, anomaly: Anomaly, partition: int, offset: int, now_ms: int) -> None:
        """Something was found; it may have been said before, and in any order."""
        known = self._where.get(anomaly.anomaly_id)
        alerts = {known} if known is not None else set()
        if anomaly.state == "resolved":
            if known is None:
                return
            self._leaves(anomaly, now_ms)
        else:
            if self._told.of(anomaly.anomaly_id) == "over" or not self._wants(anomaly):
                return
            if known is not None:
                if never_ends(anomaly) or not self._is_worse(anomaly, known):
                    return
                self._leaves(anomaly, now_ms)
            alerts.add(self._stands(anomaly, now_ms))
        one = self._unsettled.setdefault(anomaly.anomaly_id, _Unsettled(anomaly, set(), partition, offset))
        one.anomaly = anomaly
        one.alerts |= alerts

    def _is_worse(self, anomaly: Anomaly, known: Labels) -> bool:
        return LEVELS[anomaly.severity] > LEVELS[self._alerts[known].anomaly.severity]

    def _stands(self, anomaly: Anomaly, now_ms: int) -> Labels:
        labels = labels_of(anomaly)
        alert = self._alerts.get(labels)
        if alert is None or alert.ended_ms is not None:
            # One that is over, and begins again, is another; what was posted of the first is not.
            alert = Standing(labels, min(anomaly.onset_ms, now_ms), anomaly, version=alert.version if alert else 0)
            self._alerts[labels] = alert
        alert.anomaly = anomaly
        alert.starts_ms = min(alert.starts_ms, anomaly.onset_ms)
        alert.count += 1
        alert.version += 1
        if anomaly.run_id is not None:
            alert.runs = [*alert.runs[1 - MOST_RUNS :], anomaly.run_id]
        if never_ends(anomaly):
            alert.until_ms = now_ms + self._loops_last_ms
        else:
            alert.open.add(anomaly.anomaly_id)
        self._where[anomaly.anomaly_id] = labels
        return labels

    def _leaves(self, anomaly: Anomaly, now_ms: int) -> None:
        alert = self._alerts[self._where.pop(anomaly.anomaly_id)]
        alert.open.discard(anomaly.anomaly_id)
        alert.version += 1
        if not alert.open and alert.until_ms is None:
            alert.ended_ms = now_ms
            if anomaly.state == "resolved":
                alert.anomaly = anomaly

    def next(self, now_ms: int) -> Post | None:
        """What is to be posted now, if anything."""
        if now_ms < self._next_post_ms:
            return None
        due = []
        for alert in list(self._alerts.values()):
            is_new = alert.version != alert.posted_version
            if self._silenced(alert.anomaly.rule, alert.anomaly.agent, now_ms):
                # It is known to stand, also to who begins again, and holds up nothing; it is posted afterwards.
                alert.posted_version = alert.version
                if alert.ended_ms is not None or (alert.until_ms is not None and alert.until_ms <= now_ms):
                    self._forget(alert)
            elif is_new or alert.posted_ms + REPOST_MS <= now_ms:
                if not is_new and alert.until_ms is not None and alert.until_ms <= now_ms:
                    self._forget(alert)
                else:
                    due.append(alert)
        if not due:
            return None
        due.sort(key=lambda alert: alert.posted_ms)
        return Post(tuple(self._posted(alert, now_ms) for alert in due[:MOST_POSTED]))

    @staticmethod
    def _posted(alert: Standing, now_ms: int) -> Posted:
        ends_ms = alert.ended_ms or alert.until_ms or now_ms + LASTS_MS
        if alert.posted_version == 0:
            # An Alertmanager says nothing of what is over before it heard of it.
            ends_ms = max(ends_ms, now_ms + REPOST_MS)
        starts_ms = min(alert.starts_ms, ends_ms)
        return Posted(alert.labels, starts_ms, ends_ms, alert.anomaly, alert.count, tuple(alert.runs), alert.version)

    def done(self, post: Post, now_ms: int) -> list[Anomaly]:
        """It was posted: what the receiver now knows, to be remembered."""
        self._next_post_ms = now_ms + PAUSE_MS
        for one in post.alerts:
            alert = self._alerts.get(one.labels)
            if alert is None:
                continue
            alert.posted_ms, alert.posted_version = now_ms, one.version
            if alert.ended_ms is not None and alert.version == one.version:
                self._forget(alert)
        return self._settle()

    def _settle(self) -> list[Anomaly]:
        """Forgets what nothing is left to be posted of, and says what it was."""
        new = {labels for labels, alert in self._alerts.items() if alert.version != alert.posted_version}
        found = []
        for anomaly_id, one in list(self._unsettled.items()):
            if not one.alerts & new:
                del self._unsettled[anomaly_id]
                self._told.put(one.anomaly)
                found.append(one.anomaly)
        return found

    def failed(self, post: Post, *, arrived: bool) -> None:
        """It was not posted. What stands then is posted next; once too often does no harm."""

    def _forget(self, alert: Standing) -> None:
        del self._alerts[alert.labels]
        for anomaly_id in [one for one, labels in self._where.items() if labels == alert.labels]:
            del self._where[anomaly_id]

    def settled(self, positions: Offsets) -> dict[int, int]:
        """Per partition, the offset up to which everything was posted; `positions`: what was read."""
        self._settle()  # what was silenced until it was over
        found = dict(positions)
        for one in self._unsettled.values():
            found[one.partition] = min(found.get(one.partition, one.offset), one.offset)
        return found

    @property
    def waiting(self) -> int:
        """Episodes that were not posted yet."""
        return len(self._unsettled)

    @property
    def full(self) -> bool:
        """Whether no more should be taken for now."""
        return len(self._unsettled) >= MOST_WAITING


def labels_of(anomaly: Anomaly) -> Labels:
    """What an Alertmanager knows it by; labels that are empty do not count there."""
    labels = {
        "alertname": anomaly.rule,
        "severity": anomaly.severity,
        "agent": anomaly.agent,
        "source": "runwatch",
    }
    if not never_ends(anomaly):
        labels |= {
            "agent_version": anomaly.agent_version or "",
            "model": anomaly.model or "",
            "tool": anomaly.tool or "",
        }
    return tuple(sorted((name, value) for name, value in labels.items() if value))
