"""Label values: what Prometheus can take of a name, and no more of them than it can bear."""

from __future__ import annotations

import re

OTHER = "(other)"
"""Stands for all values that are one too many, or not known."""
NONE = "(none)"
"""Stands for an empty name, which to Prometheus would be no label at all."""
MOST_LETTERS = 200

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def clean(value: str) -> str:
    """The name as a label: control characters and halves of characters replaced, a long one cut."""
    found = _UNFIT.sub("\ufffd", value[: MOST_LETTERS + 1])
    return (f"{found[: MOST_LETTERS - 1]}…" if len(found) > MOST_LETTERS else found) or NONE


class Places:
    """Names to rows: the first `most` names have one each, all others share the last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_raw: dict[str, int] = {}
        self._by_label: dict[str, int] = {}
        self.used: list[str] = []
        """The labels that have a row, in the order of their rows."""
        self.overflowing = False
        """Whether the last row has ever been asked for."""

    def __call__(self, name: str) -> int:
        """The row of a name; `most` where there is none left for it."""
        row = self._by_raw.get(name)
        if row is not None:
            return row
        label = clean(name)
        row = self._by_label.get(label)
        if row is None:
            if label == OTHER or len(self.used) >= self._most:
                self.overflowing = True
                return self._most
            row = self._by_label[label] = len(self.used)
            self.used.append(label)
        if len(self._by_raw) < 2 * self._most:  # names that look alike once cleaned may be without end
            self._by_raw[name] = row
        return row
