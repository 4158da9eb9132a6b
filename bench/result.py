"""What a part found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from .figures import Figures


@dataclass(frozen=True)
class Result:
    """Figures of one part, beside those of its peers, and on which machine."""

    part: str
    figures: Figures
    peers: dict[str, Figures] = field(default_factory=dict)
    machine: dict[str, str | int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """What came out wrong: a figure of work that was not done right is worth nothing."""

    def line(self) -> str:
        """The result as one line of JSON."""
        return json.dumps(
            {"part": self.part, "figures": self.figures, "peers": self.peers, "machine": self.machine},
            ensure_ascii=False,
        )
