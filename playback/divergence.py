"""Where a new run left the way of the recorded one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..schemas.events import AgentEvent


@dataclass(frozen=True, slots=True)
class Made:
    """A call that the new run made."""

    tool: str
    args_sha: str | None
    index: int | None
    """Which of the recorded calls answered it; None for none."""
    assumed: bool = False
    """Whether it was taken for that one by its tool alone, since its arguments hold something that is not known."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first call that is not the recorded one."""

    kind: Literal["extra", "order", "missing"]
    """A call that is not in the record; one that is, but elsewhere; none where there should be one."""
    place: int
    """Which call of the new run it is, from 0."""
    made: Made | None
    expected: AgentEvent | None
    """What the record has there; None beyond its end."""

    def __str__(self) -> str:
        was = "nothing more" if self.expected is None else named(self.expected.tool, self.expected.args_sha)
        if self.made is None:
            return f"call {self.place + 1} was not made; the record has {was}"
        made = named(self.made.tool, self.made.args_sha)
        where = "which is not in the record" if self.kind == "extra" else "which the record has elsewhere"
        return f"call {self.place + 1} is {made}, {where}; there it has {was}"


@dataclass(frozen=True, slots=True)
class Report:
    """How a new run compares to the record."""

    made: int
    """Calls that the new run made."""
    recorded: int
    """Calls that the record has, refusals not counted."""
    first: Divergence | None
    extra: tuple[Made, ...]
    """Calls that are not in the record."""
    missing: tuple[AgentEvent, ...]
    """Recorded calls that were not made."""
    moved: tuple[Made, ...]
    """As few of the others as have to be moved for the rest to be in the recorded order."""
    assumed: tuple[Made, ...]
    """Calls that were answered by their tool and place alone."""
    unknown: tuple[AgentEvent, ...] = ()
    """Answers of which only the hash is known: an `Opaque` stood for each."""
    redacted: tuple[AgentEvent, ...] = ()
    """Answers that were given without what was taken out of them."""

    @property
    def same(self) -> bool:
        """Whether the new run made the recorded calls, in their order, and no others."""
        return self.first is None

    def to_json(self) -> dict[str, Any]:
        """The report for scripts."""
        calls = {
            name: [{"tool": one.tool, "args_sha": one.args_sha} for one in getattr(self, name)]
            for name in ("extra", "missing", "moved", "assumed", "unknown", "redacted")
        }
        first = None if self.first is None else {"kind": self.first.kind, "place": self.first.place}
        told = None if self.first is None else str(self.first)
        return {"same": self.same, "first": first, "told": told, "made": self.made, "recorded": self.recorded, **calls}


@dataclass
class Comparison:
    """A new run's calls, compared as they come."""

    calls: Sequence[AgentEvent]
    optional: frozenset[int] = frozenset()
    """Recorded calls that need not be made again: a guard refused them."""
    made: list[Made] = field(default_factory=list)
    first: Divergence | None = None
    _next: int = 0

    def add(self, one: Made) -> None:
        """Takes the new run's next call."""
        self.made.append(one)
        if self.first is not None:
            return
        while self._next in self.optional and self._next != one.index:
            self._next += 1
        if one.index == self._next:
            self._next += 1
        else:
            kind: Literal["extra", "order"] = "extra" if one.index is None else "order"
            self.first = Divergence(kind, len(self.made) - 1, one, self._expected())

    def _expected(self) -> AgentEvent | None:
        return self.calls[self._next] if self._next < len(self.calls) else None

    def report(self) -> Report:
        """How the calls so far compare to the whole record."""
        answered = {one.index for one in self.made}
        missing = [at for at in range(len(self.calls)) if at not in answered and at not in self.optional]
        first = self.first
        if first is None and missing:
            first = Divergence("missing", len(self.made), None, self.calls[missing[0]])
        return Report(
            made=len(self.made),
            recorded=len(self.calls) - len(self.optional),
            first=first,
            extra=tuple(one for one in self.made if one.index is None),
            missing=tuple(self.calls[at] for at in missing),
            moved=tuple(moved([one for one in self.made if one.index is not None])),
            assumed=tuple(one for one in self.made if one.assumed),
        )


def moved(found: Sequence[Made]) -> list[Made]:
    """Those that are not in the longest stretch of calls in the recorded order (patience sorting)."""
    ends: list[int] = []
    tops: list[int] = []
    before: list[int | None] = []
    for at, one in enumerate(found):
        index = one.index
        assert index is not None
        pile = bisect_left(ends, index)
        before.append(tops[pile - 1] if pile else None)
        if pile == len(ends):
            ends.append(index)
            tops.append(at)
        else:
            ends[pile], tops[pile] = index, at
    kept: set[int] = set()
    place = tops[-1] if tops else None
    while place is not None:
        kept.add(place)
        place = before[place]
    return [one for at, one in enumerate(found) if at not in kept]


def named(tool: str | None, digest: str | None) -> str:
    """A call as people are told of it."""
    return f"{tool or 'a tool without a name'}({(digest or 'arguments unknown')[:8]})"
