"""Who reads the topics, and how far they have come. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..output import counted
from .finding import Finding, error, note, ok, warning

CHECK = "groups"
BEHIND = 100_000
"""Messages that one may be behind without a word: some seconds' worth of a busy fleet."""

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Group:
    """One consumer group."""

    part: str
    """Whose it is, as people start it: `runwatch sink`."""
    members: int | None
    """None where the broker does not tell."""
    committed: Mapping[Place, int] = field(default_factory=dict)
    """The next offset to read; partitions of which nothing is committed are left out."""


def judge(name: str, group: Group, ends: Mapping[Place, tuple[int, int]]) -> Iterator[Finding]:
    """Findings on a group. `ends`: first offset, and the one after the last, of what it should read."""
    findings = []
    if group.members == 0:
        waiting = _waiting(group, ends)
        findings.append(
            error(CHECK, name, f"nobody is in this group, and {waiting:,} messages wait", f"start `{group.part}`")
        )
    for place, offset in sorted(group.committed.items()):
        if place not in ends:
            continue
        first, end = ends[place]
        at = f"{name}, {place[0]} {place[1]}"
        if offset < first and end > first:
            findings.append(
                error(
                    CHECK,
                    at,
                    f"{first - offset:,} messages were deleted before they were read",
                    f"keep {place[0]} for longer (retention.ms), and see why `{group.part}` fell behind",
                )
            )
        elif offset > end:
            findings.append(
                error(
                    CHECK,
                    at,
                    f"was read up to {offset:,} and ends at {end:,}: the topic was made anew, or a broker lost some",
                    f"stop `{group.part}`, then kafka-consumer-groups.sh --group {name} --topic {place[0]}:{place[1]}"
                    " --reset-offsets --to-earliest --execute; what is stored is not stored twice",
                )
            )
    behind = {place: count for place, count in _behind(group, ends).items() if count > BEHIND}
    if behind and group.members:
        topics = ", ".join(sorted({topic for topic, _ in behind}))
        findings.append(
            warning(
                CHECK,
                name,
                f"is {sum(behind.values()):,} messages behind in {topics}",
                f"start one more `{group.part}`, up to one a partition, or see its log for what holds it up",
            )
        )
    if group.members is None:
        findings.append(note(CHECK, name, "the broker does not tell who is in it", "let this user describe groups"))
    yield from findings or [
        ok(
            CHECK,
            name,
            f"{counted(group.members or 0, 'member')}, {_waiting(group, ends):,} messages to read",
        )
    ]


def _behind(group: Group, ends: Mapping[Place, tuple[int, int]]) -> dict[Place, int]:
    return {place: max(0, end - max(group.committed.get(place, 0), first)) for place, (first, end) in ends.items()}


def _waiting(group: Group, ends: Mapping[Place, tuple[int, int]]) -> int:
    return sum(_behind(group, ends).values())
