"""Two judgements of the same history beside each other: what one set of rules says and the other does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..schemas.anomalies import Anomaly

Change = Literal["new", "gone", "severity", "time"]

RANK: Mapping[str, int] = {"info": 0, "warning": 1, "critical": 2}
NEAR_MS = 6 * 3_600_000
"""Episodes of one rule and subject that begin within this are the same episode, seen sooner or later."""
COLUMNS = ("change", "rule", "agent", "tool", "run_id", "severity_a", "severity_b", "time_a", "time_b", "message")


@dataclass(slots=True)
class Episode:
    """An anomaly from its opening to its end, as one."""

    first: Anomaly
    """As it opened."""
    worst: Anomaly
    """As it was told at its worst."""


@dataclass(frozen=True, slots=True)
class Row:
    """One episode that differs. `a`: under the rules that are in force; `b`: under the others; None where unseen."""

    change: Change
    a: Episode | None
    b: Episode | None

    def report(self) -> dict[str, Any]:
        """The row as people and scripts are told of it, by `COLUMNS`; times in milliseconds."""
        shown = (self.b or self.a).worst  # type: ignore[union-attr]  # one of them is there
        return {
            "change": self.change,
            "rule": shown.rule,
            "agent": shown.agent,
            "tool": shown.tool,
            "run_id": shown.run_id,
            "severity_a": self.a and self.a.worst.severity,
            "severity_b": self.b and self.b.worst.severity,
            "time_a": self.a and self.a.first.ts_ms,
            "time_b": self.b and self.b.first.ts_ms,
            "message": shown.message,
        }


@dataclass(slots=True)
class Counts:
    """Episodes of one rule."""

    a: int = 0
    b: int = 0
    changes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("new", "gone", "severity", "time"), 0))


class Episodes:
    """Collects anomalies as episodes, in the order of their openings."""

    def __init__(self) -> None:
        self.by_id: dict[str, Episode] = {}

    def add(self, anomaly: Anomaly) -> None:
        known = self.by_id.get(anomaly.anomaly_id)
        if known is None:
            self.by_id[anomaly.anomaly_id] = Episode(anomaly, anomaly)
        elif anomaly.state != "resolved" and RANK[anomaly.severity] >= RANK[known.worst.severity]:
            known.worst = anomaly

    def counts(self) -> dict[str, dict[str, int]]:
        """Rule → severity at its worst → how many."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(reversed(list(RANK)), 0))
        for one in self.by_id.values():
            found[one.worst.rule][one.worst.severity] += 1
        return dict(sorted(found.items()))


def compare(a: Episodes, b: Episodes) -> Iterator[Row]:
    """The episodes that are not the same in both, by their time."""
    pairs, only_a, only_b = _matched(a, b)
    rows = [Row("gone", one, None) for one in only_a] + [Row("new", None, one) for one in only_b]
    for one, other in pairs:
        if one.worst.severity != other.worst.severity:
            rows.append(Row("severity", one, other))
        elif one.first.ts_ms != other.first.ts_ms:
            rows.append(Row("time", one, other))
    yield from sorted(rows, key=_when)


def summed(a: Episodes, b: Episodes, rows: Iterable[Row]) -> dict[str, Counts]:
    """Rule → how many episodes there are in either, and what changed."""
    found: dict[str, Counts] = defaultdict(Counts)
    for one in a.by_id.values():
        found[one.worst.rule].a += 1
    for one in b.by_id.values():
        found[one.worst.rule].b += 1
    for row in rows:
        found[(row.b or row.a).worst.rule].changes[row.change] += 1  # type: ignore[union-attr]  # as above
    return dict(sorted(found.items()))


def _when(row: Row) -> tuple[int, str]:
    shown = (row.a or row.b).first  # type: ignore[union-attr]  # one of them is there
    return shown.ts_ms, shown.anomaly_id


def _matched(a: Episodes, b: Episodes) -> tuple[list[tuple[Episode, Episode]], list[Episode], list[Episode]]:
    """Pairs of the same episode, then what is left of either.

    An episode's id holds its onset, which rules may place elsewhere: the nearest in time of the same rule and
    subject is the same one too.
    """
    pairs = [(one, b.by_id[name]) for name, one in a.by_id.items() if name in b.by_id]
    left: dict[tuple[Any, ...], list[Episode]] = defaultdict(list)
    for name, other in b.by_id.items():
        if name not in a.by_id:
            left[_subject(other)].append(other)
    only_a: list[Episode] = []
    for name, one in a.by_id.items():
        if name in b.by_id:
            continue
        near = left.get(_subject(one), [])
        found = min(near, key=lambda other: abs(other.first.onset_ms - one.first.onset_ms), default=None)
        if found is None or abs(found.first.onset_ms - one.first.onset_ms) > NEAR_MS:
            only_a.append(one)
        else:
            near.remove(found)
            pairs.append((one, found))
    return pairs, only_a, [other for others in left.values() for other in others]


def _subject(one: Episode) -> tuple[Any, ...]:
    anomaly = one.first
    return anomaly.rule, anomaly.agent, anomaly.agent_version, anomaly.tool, anomaly.run_id
