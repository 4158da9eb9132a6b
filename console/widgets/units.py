"""Numbers with their units, as people read them: in text, and as the function by which a chart's axis says the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["number", "ms", "share"]

NOTHING: Final = "–"
"""What stands where nothing is known."""

# Of a value v: three significant digits; 12,345 as such, 1.23M beyond.
_JS_NUMBER: Final = (
    "Math.abs(v) >= 1e5"
    " ? v.toLocaleString('en-US', {notation: 'compact', maximumSignificantDigits: 3})"
    " : v.toLocaleString('en-US', Math.abs(v) >= 100 ? {maximumFractionDigits: 0} : {maximumSignificantDigits: 3})"
)
_JS: Final[dict[Kind, str]] = {
    "number": _JS_NUMBER,
    "ms": (
        "(Math.abs(v) < 1e3 ? [v, ' ms'] : Math.abs(v) < 6e4 ? [v / 1e3, ' s'] : Math.abs(v) < 5.4e6"
        " ? [v / 6e4, ' min'] : [v / 3.6e6, ' h'])"
        ".map((x, i) => i ? x : +x.toPrecision(Math.abs(x) < 100 ? 2 : 3)).join('')"
    ),
    "share": "(v * 100).toLocaleString('en-US', {maximumSignificantDigits: Math.abs(v) < 1 ? 2 : 3}) + '%'",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """How a number is said."""

    kind: Kind = "number"
    prefix: str = ""
    suffix: str = ""

    def said(self, value: float | None) -> str:
        """`$0.045`, `7.1 s`, `41%`, `1.23M /min`; a dash for what is not known."""
        if value is None or not math.isfinite(value):
            return NOTHING
        text = {"number": _number, "ms": _length, "share": _share}[self.kind](abs(value))
        return f"{'−' if value < 0 else ''}{self.prefix}{text}{self.suffix}"

    @property
    def js(self) -> str:
        """The same as a JavaScript function of the value."""
        return f"v => v == null ? '{NOTHING}' : '{self.prefix}' + ({_JS[self.kind]}) + '{self.suffix}'"

    @property
    def js_bare(self) -> str:
        """The same without what follows the number."""
        return Unit(self.kind, self.prefix).js


COUNT: Final = Unit()
PER_MINUTE: Final = Unit(suffix=" /min")
MS: Final = Unit("ms")
USD: Final = Unit(prefix="$")
USD_PER_MINUTE: Final = Unit(prefix="$", suffix=" /min")
SHARE: Final = Unit("share")


def _number(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e5, "K")):
        if value >= size:
            return f"{value / (size if size > 1e5 else 1e3):.3g}{letter}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _length(ms: float) -> str:
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{_short(ms / 1_000)} s"
    return f"{_short(ms / 60_000)} min" if ms < 5_400_000 else f"{_short(ms / 3_600_000)} h"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"


def _share(value: float) -> str:
    # 99.6 % of the runs is not all of them.
    return f"{value:.1%}" if (value < 0.1 or 0.99 <= value < 1) and value else f"{value:.0%}"
