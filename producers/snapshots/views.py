"""A text as its readers will see it: `%40`, `\\u0040` and `&#64;` are all `@`, and hide nothing."""

from __future__ import annotations

import re
from html import unescape

_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|\\+(?:u(?P<unicode>[0-9A-Fa-f]{4})|x(?P<hex>[0-9A-Fa-f]{2}))"
    r"|(?P<html>&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos|commat|colon|equals);)"
)
_HINTS = ("%", "\\u", "\\x", "&")


class View:
    """A text with its escapes read, and where each of its letters stands in the text as it is."""

    __slots__ = ("_starts", "_steps", "text")

    def __init__(self, text: str, steps: list[tuple[int, int, int, int]]) -> None:
        """`steps`: for each escape, where it begins and ends in the view, and where in the raw text."""
        self.text = text
        self._steps = steps

    def raw(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of the view as a stretch of the raw text; an escape that is cut into counts whole."""
        return self._place(start, first=True), self._place(end, first=False)

    def _place(self, at: int, *, first: bool) -> int:
        shift = 0
        for begins, ends, raw_begins, raw_ends in self._steps:
            if at < begins or (at == begins and not first):
                break
            if at == begins:
                return raw_begins
            if at < ends:
                return raw_begins if first else raw_ends
            shift = raw_ends - ends
        return at + shift


def view(text: str) -> View | None:
    """The view of a text; None where it has no escapes."""
    if not any(hint in text for hint in _HINTS):
        return None
    out: list[str] = []
    steps: list[tuple[int, int, int, int]] = []
    at = length = 0
    for found in _ESCAPE.finditer(text):
        out.append(text[at : found.start()])
        length += found.start() - at
        letters = _letters(found)
        steps.append((length, length + len(letters), found.start(), found.end()))
        out.append(letters)
        length += len(letters)
        at = found.end()
    if not steps:
        return None
    out.append(text[at:])
    return View("".join(out), steps)


def _letters(found: re.Match[str]) -> str:
    if percent := found["percent"]:
        return bytes.fromhex(percent.replace("%", "")).decode("utf-8", "replace")
    if code := found["unicode"] or found["hex"]:
        return chr(int(code, 16))
    return unescape(found["html"])
