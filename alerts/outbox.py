"""What waits to be told to a person, and when it may be: one message an episode, grouped, and not too many.

No clock and no socket: times come in as milliseconds, and what goes out is asked for.

An episode is told when it opens, or escalates, to what the receiver asks for, and once more when it is over. The first
of a rule and an agent is told at once. What comes within a while after it waits, and is told together; each wait is
longer than the one before. What began and ended before it could be told is told once. Where there is so much of
different kinds at the same time, or that the hour's messages run out, everything that waits is told in one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..schemas.anomalies import Anomaly
from .choose import LEVELS, never_ends
from .letter import Letter, News
from .told import Told

MOST_WAITING = 10_000
"""Episodes that wait in memory; what is more waits in Kafka."""
MOST_AT_ONCE = 3
"""Groups that are told by a message each where they are found at the same time; more are told in one."""
HOUR_MS = 3_600_000
HELD_MS = 24 * HOUR_MS
"""For how long what is silenced holds up what is settled. After that it waits in memory alone: who begins again is to
read a day at the most, of which it knows what was told."""

Offsets = Mapping[int, int]
"""Partition → the next offset to be read."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a receiver may be told."""

    group_for_ms: int
    group_at_most_ms: int
    per_hour: int


class Budget:
    """Messages that may be sent: half of an hour's at once, the others come back over the hour. So it is never more."""

    def __init__(self, per_hour: int) -> None:
        self._most = per_hour / 2
        self._left = self._most
        self._at_ms: int | None = None

    def left(self, now_ms: int) -> float:
        if self._at_ms is not None and now_ms > self._at_ms:
            self._left = min(self._most, self._left + (now_ms - self._at_ms) * self._most / HOUR_MS)
        self._at_ms = now_ms if self._at_ms is None else max(self._at_ms, now_ms)
        return self._left

    def spend(self, now_ms: int) -> None:
        self._left = max(0.0, self.left(now_ms) - 1)


@dataclass(slots=True)
class _Waiting:
    news: News
    partition: int
    offset: int
    """Of the first message that told of it: as long as it waits, nothing behind that is settled."""
    since_ms: int
    is_settled: bool = False
    """It waits in memory alone."""


@dataclass(slots=True)
class _Group:
    """What waits of a rule and an agent."""

    rule: str
    agent: str
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    quiet_until_ms: int = 0
    wait_ms: int = 0
    """The last wait; 0 where nothing was told yet."""
    level: int = -1
    """The worst that was told since it was quiet."""


class Outbox:
    """One receiver's."""

    def __init__(
        self,
        wants: Callable[[Anomaly], bool],
        silenced: Callable[[str, str, int], bool],
        pace: Pace,
        told: Told,
        *,
        ends: bool = True,
    ) -> None:
        """`silenced(rule, agent, now_ms)`; `ends`: whether the end of an episode is told."""
        self._wants = wants
        self._silenced = silenced
        self._pace = pace
        self._told = told
        self._ends = ends
        self._groups: dict[tuple[bool, str, str], _Group] = {}
        self._where: dict[str, _Group] = {}
        """Anomaly id → the group in which it waits."""
        self._budget = Budget(pace.per_hour)
        self._under_way: Letter | None = None

    def take(self, anomaly: Anomaly, partition: int, offset: int, now_ms: int) -> None:
        """Something was found; it may have been said before, and in any order."""
        if anomaly.state == "resolved":
            self._take_end(anomaly, partition, offset, now_ms)
        else:
            self._take_open(anomaly, partition, offset, now_ms)

    def _take_open(self, anomaly: Anomaly, partition: int, offset: int, now_ms: int) -> None:
        if self._told.of(anomaly.anomaly_id) is not None or not self._wants(anomaly):
            return
        known = self._waiting(anomaly.anomaly_id)
        if known is not None:
            if LEVELS[anomaly.severity] > LEVELS[known.news.anomaly.severity]:
                known.news = replace(known.news, anomaly=anomaly)
        elif not (never_ends(anomaly) and self._silenced(anomaly.rule, anomaly.agent, now_ms)):
            self._wait(anomaly, partition, offset, now_ms)

    def _take_end(self, anomaly: Anomaly, partition: int, offset: int, now_ms: int) -> None:
        known = self._waiting(anomaly.anomaly_id)
        if known is not None:
            if known.news.kind == "open":
                known.news = replace(known.news, ended=anomaly)
        elif self._told.of(anomaly.anomaly_id) == "open":
            if self._ends:
                self._wait(anomaly, partition, offset, now_ms)
            else:
                self._told.put(anomaly)

    def _waiting(self, anomaly_id: str) -> _Waiting | None:
        group = self._where.get(anomaly_id)
        return None if group is None else group.waiting[anomaly_id]

    def _wait(self, anomaly: Anomaly, partition: int, offset: int, now_ms: int) -> None:
        key = (anomaly.state == "resolved", anomaly.rule, anomaly.agent)
        group = self._groups.setdefault(key, _Group(anomaly.rule, anomaly.agent))
        group.waiting[anomaly.anomaly_id] = _Waiting(News(anomaly), partition, offset, now_ms)
        self._where[anomaly.anomaly_id] = group

    def next(self, now_ms: int) -> Letter | None:
        """What is to be told now, if anything. The same again until it is `done` or `failed`."""
        if self._under_way is not None:
            return self._under_way
        left = self._budget.left(now_ms)
        ready = [group for group in list(self._groups.values()) if self._is_ready(group, now_ms)]
        if not ready or left < 1:
            return None
        if left >= 2 and len(ready) <= MOST_AT_ONCE:
            first = min(ready, key=lambda group: min(one.offset for one in group.waiting.values()))
            ready = [first]
        # Else it is the last message for a while, or one of a flood: it tells everything.
        news = tuple(one.news for group in ready for one in group.waiting.values())
        self._under_way = Letter(news)
        return self._under_way

    def _is_ready(self, group: _Group, now_ms: int) -> bool:
        if not group.waiting:
            if now_ms >= group.quiet_until_ms:
                # It has been quiet for a whole wait: the next one is told at once.
                self._groups = {key: one for key, one in self._groups.items() if one is not group}
            return False
        if self._silenced(group.rule, group.agent, now_ms):
            self._hush(group, now_ms)
            return False
        worst = max(LEVELS[one.news.anomaly.severity] for one in group.waiting.values())
        return now_ms >= group.quiet_until_ms or worst > group.level

    def _hush(self, group: _Group, now_ms: int) -> None:
        """Forgets what is not told while it is silenced, nor later. What stays open is told once it is not any more."""
        for anomaly_id, one in list(group.waiting.items()):
            if one.news.kind == "resolved":
                self._told.put(one.news.last)
            # Where too much waits, else nothing more could be taken for as long as the silence lasts.
            if one.news.kind != "open" or never_ends(one.news.anomaly) or self.full:
                self._remove(anomaly_id)
            one.is_settled = now_ms - one.since_ms >= HELD_MS

    def _remove(self, anomaly_id: str) -> _Waiting | None:
        group = self._where.pop(anomaly_id, None)
        return None if group is None else group.waiting.pop(anomaly_id)

    def done(self, letter: Letter, now_ms: int) -> list[Anomaly]:
        """It was told: what the receiver now knows, to be remembered."""
        self._under_way = None
        self._budget.spend(now_ms)
        groups = {id(group): group for one in letter.news if (group := self._where.get(one.last.anomaly_id))}
        for group in groups.values():
            if group.wait_ms == 0:
                group.wait_ms = self._pace.group_for_ms
            elif now_ms >= group.quiet_until_ms:
                group.wait_ms = max(group.wait_ms, min(group.wait_ms * 2, self._pace.group_at_most_ms))
            group.quiet_until_ms = now_ms + group.wait_ms
        for one in letter.news:
            level = LEVELS[one.anomaly.severity]
            if group := self._where.get(one.last.anomaly_id):
                group.level = max(group.level, level)
            self._told.put(one.last)
            known = self._remove(one.last.anomaly_id)
            if known is not None and known.news.ended is not None and one.ended is None:
                # It ended while its beginning was on the way.
                self._take_end(known.news.ended, known.partition, known.offset, now_ms)
        return [one.last for one in letter.news]

    def failed(self, letter: Letter, *, arrived: bool) -> None:
        """It was not told. `arrived`: it may have been all the same; then the very same is tried again, so that the
        receiver can know it by its key."""
        if not arrived:
            self._under_way = None

    def settled(self, positions: Offsets) -> dict[int, int]:
        """Per partition, the offset up to which nothing waits any more; `positions`: what was read."""
        found = dict(positions)
        for group in self._groups.values():
            for one in group.waiting.values():
                if not one.is_settled and one.offset < found.get(one.partition, 0):
                    found[one.partition] = one.offset
        return found

    @property
    def waiting(self) -> int:
        """Episodes that wait to be told."""
        return len(self._where)

    @property
    def full(self) -> bool:
        """Whether no more should be taken for now."""
        return len(self._where) >= MOST_WAITING
