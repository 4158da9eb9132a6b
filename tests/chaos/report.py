"""What a suite found, for people and for machines."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .verify import Check


@dataclass(frozen=True)
class Hit:
    """One fault, as it went."""

    fault: str
    target: str
    at_s: float
    """Since the load began."""
    held_s: float
    ahead: int
    """Messages that were committed and not stored: second copies of events, or loss."""
    sink_s: float | None = None
    """From its beginning until the sinks kept up again."""
    worker_s: float | None = None
    """The same of the workers."""
    loops_s: float = 0.0
    """From its beginning until loops were told of in time again."""


@dataclass
class Report:
    """A suite."""

    seed: int
    rate: int
    seconds: float = 0.0
    hits: list[Hit] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> str:
        """All of it."""
        return json.dumps({**asdict(self), "passed": self.passed}, indent=1)

    def lines(self) -> list[str]:
        """A table of the faults, then the checks."""
        out = [
            f"seed {self.seed}: {self.rate:,} events/s for {self.seconds:.0f} s, {len(self.hits)} faults",
            "",
            *table(self.hits),
        ]
        out += ["", *(f"left out: {name}" for name in self.left_out)]
        out += [f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}" for check in self.checks]
        out += ["", json.dumps(self.figures), f"seed {self.seed}: {'passed' if self.passed else 'FAILED'}"]
        return out


def table(hits: Sequence[Hit]) -> list[str]:
    """A line for each fault in Markdown: how often it came, and the median and longest times of recovery."""
    out = [
        "| fault | times | sinks keep up after | workers keep up after | loops told in time after |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in sorted({hit.fault for hit in hits}):
        some = [hit for hit in hits if hit.fault == name]
        columns = [
            _times([hit.sink_s for hit in some]),
            _times([hit.worker_s for hit in some]),
            _times([hit.loops_s for hit in some]),
        ]
        out.append(f"| {name} | {len(some)} | {' | '.join(columns)} |")
    return out


def _times(seconds: Sequence[float | None]) -> str:
    if any(one is None for one in seconds):
        return "never"
    known = [one for one in seconds if one is not None]
    if len(known) == 1:
        return f"{known[0]:.1f} s"
    return f"{statistics.median(known):.1f} s, at most {max(known):.1f}"
