"""A query's result as an ECharts chart: pure functions, no page.

Whatever stands in a result is text: the tooltip is drawn as text too (`richText`), not as HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from ..ask.sql import Column
from .chart import COLORS
from .plain import shown

Kind = Literal["line", "bar"]
Axis = Literal["time", "value", "category"]

POINTS: Final = 2_000
"""More than a screen has pixels."""
_NUMBER: Final = re.compile(r"(U?Int\d+|B?Float\d+|Decimal)")
_TIME: Final = re.compile(r"(Date|Date32|DateTime|DateTime64)(\(|$)")
_ZONE: Final = re.compile(r"'([^']*)'")
_WRAPPED: Final = re.compile(r"^(?:Nullable|LowCardinality)\((.*)\)$")
_DIM: Final = "var(--rw-dim)"
_LINE: Final = "var(--rw-line)"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is drawn: places of columns. `x` along the bottom, each of `ys` as a line or as bars."""

    x: int
    ys: tuple[int, ...]
    kind: Kind

    def with_x(self, x: int) -> Choice:
        """The same along another column, which then is none of the values."""
        return replace(self, x=x, ys=tuple(y for y in self.ys if y != x))


def inner(kind: str) -> str:
    """A column's type without Nullable and LowCardinality."""
    while found := _WRAPPED.match(kind):
        kind = found[1]
    return kind


def is_number(column: Column) -> bool:
    """Whether its values can be drawn."""
    return _NUMBER.match(inner(column.type)) is not None


def axis_of(column: Column) -> Axis:
    """How values of that column are laid out."""
    kind = inner(column.type)
    # Times of another zone than UTC are told in that zone's clock; they are drawn one beside the other.
    zone = _ZONE.search(kind)
    if _TIME.match(kind) and (zone is None or zone[1] == "UTC"):
        return "time"
    return "value" if is_number(column) else "category"


def first_choice(columns: Sequence[Column]) -> Choice | None:
    """What to draw at first: numbers over time, or else over the first column that is no number. None: nothing to."""
    axes = [axis_of(column) for column in columns]
    numbers = [at for at, column in enumerate(columns) if is_number(column)]
    x = next((at for at, axis in enumerate(axes) if axis == "time"), None)
    if x is None:
        x = next((at for at, axis in enumerate(axes) if axis == "category"), 0 if len(numbers) > 1 else None)
    ys = tuple(at for at in numbers if at != x)[:3]
    if x is None or not ys:
        return None
    return Choice(x, ys, "bar" if axes[x] == "category" else "line")


def options(columns: Sequence[Column], rows: Sequence[Sequence[Any]], choice: Choice) -> dict[str, Any]:
    """The chart of the first `POINTS` rows. Names of columns and values may be anything."""
    axis = axis_of(columns[choice.x])
    drawn = rows[:POINTS]
    label = {"color": _DIM, "fontSize": 11}
    x_axis: dict[str, Any] = {
        "type": axis,
        "axisLabel": {**label, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": _LINE}},
        "splitLine": {"show": False},
    }
    xs: list[Any] = [_x_of(row[choice.x], axis) for row in drawn]
    if axis == "category":
        x_axis["data"] = xs
    elif axis == "value":
        x_axis["scale"] = True
    return {
        "animation": False,
        "useUTC": True,
        "textStyle": {"fontFamily": "Roboto, sans-serif"},
        "grid": {"left": 56, "right": 16, "top": 34, "bottom": 28},
        "legend": {"top": 0, "left": 0, "type": "scroll", "textStyle": {"color": _DIM}, "itemHeight": 8},
        "tooltip": {
            "trigger": "axis",
            "renderMode": "richText",
            "confine": True,
            "transitionDuration": 0,
            "backgroundColor": "var(--rw-card)",
            "borderColor": _LINE,
            "textStyle": {"color": "var(--rw-ink)", "fontSize": 12},
        },
        "xAxis": x_axis,
        "yAxis": {"type": "value", "axisLabel": label, "splitLine": {"lineStyle": {"color": _LINE}}},
        "series": [
            {
                "type": choice.kind,
                "name": shown(columns[y].name, 40),
                "color": COLORS[number % len(COLORS)],
                "data": _points(xs, [row[y] for row in drawn], axis),
                "symbol": "circle",
                "symbolSize": 4,
                "showSymbol": len(drawn) <= 60,
                "barMaxWidth": 40,
                "emphasis": {"disabled": True},
                # As many points as there are pixels, and those that make its shape.
                "sampling": "lttb",
            }
            for number, y in enumerate(choice.ys)
        ],
    }


def _points(xs: Sequence[Any], values: Sequence[Any], axis: Axis) -> list[Any]:
    ys = [_number(value) for value in values]
    return ys if axis == "category" else [[x, y] for x, y in zip(xs, ys, strict=True) if x is not None]


def _x_of(value: Any, axis: Axis) -> Any:
    if axis == "time":
        return _epoch_ms(value)
    return _number(value) if axis == "value" else shown("null" if value is None else value, 40)


def _epoch_ms(value: Any) -> int | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
