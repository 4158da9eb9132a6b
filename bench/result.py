"""What a part found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .figures import Figures


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of its own: what one figure each would not tell."""

    name: str
    rows: list[dict[str, Any]]
    """The same keys in each; all of them stand in the JSON."""
    shown: Sequence[str]
    """The keys that people are shown."""


@dataclass(frozen=True)
class Result:
    """Figures of one part, beside those of its peers, and on which machine."""

    part: str
    figures: Figures
    peers: dict[str, Figures] = field(default_factory=dict)
    machine: dict[str, str | int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """What came out wrong: a figure of work that was not done right is worth nothing."""
    sheets: Sequence[Sheet] = ()
    notes: Sequence[str] = ()
    """What people should know of it, in sentences."""

    def line(self) -> str:
        """The result as one line of JSON."""
        line: dict[str, Any] = {
            "part": self.part,
            "figures": self.figures,
            "peers": self.peers,
            "machine": self.machine,
        }
        line |= {sheet.name: sheet.rows for sheet in self.sheets}
        return json.dumps(line, ensure_ascii=False)
