"""Names and messages of agents as text, whatever is in them: no markup, nothing invisible, nothing endless."""

from __future__ import annotations

import html
import unicodedata
from typing import Final

AT_MOST: Final = 160
"""Characters of a name that are shown; the whole of it is in the API."""

_INVISIBLE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def shown(text: object, at_most: int = AT_MOST) -> str:
    """`text` for a label: control and invisible characters as codes such as ⟨U+202E⟩, cut after `at_most`."""
    whole = str(text)
    seen = "".join(_visible(one) for one in whole[:at_most])
    return f"{seen}… ({len(whole):,} characters)" if len(whole) > at_most else seen


def in_chart(text: object, at_most: int = 60) -> str:
    """`text` for a chart, whose tooltips are HTML: the same, escaped."""
    return html.escape(shown(text, at_most), quote=True)


def _visible(character: str) -> str:
    if unicodedata.category(character) in _INVISIBLE:
        return f"⟨U+{ord(character):04X}⟩"
    return character
