"""Numbers over time as ECharts options: pure functions, no page.

Colours are names of the theme (`var(--rw-…)`), so that a chart turns dark or light with its page; that takes ECharts'
SVG renderer, which `widgets.plot` uses. Tooltips are HTML: names of agents and tools come in escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .plain import in_chart, shown
from .units import SHARE, Unit

Options = dict[str, Any]
Values = Sequence[float | None]

COLORS: Final = tuple(f"var(--rw-line-{number})" for number in range(1, 9))
"""Told apart by the colour-blind as well, and none of a severity."""
QUIET: Final = "var(--rw-quiet)"
"""For what is as it should be, beside which the rest stands out."""

_DIM: Final = "var(--rw-dim)"
_LINE: Final = "var(--rw-line)"
_BAND: Final = "usual"
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 18, 24

# Of the points at one time: the time in the viewer's zone, then what each line says there, and what is usual. All
# names were escaped before they came here.
_TOOLTIP: Final = """ps => {
  if (!ps.length) return '';
  const say = %s, at = new Date(ps[0].value[0]);
  const low = ps.find(p => p.seriesId === 'usual-low'), wide = ps.find(p => p.seriesId === 'usual');
  const row = (mark, name, text) => `<div style="display:flex;gap:8px;align-items:center">${mark}<span>${name}</span>` +
    `<b style="margin-left:auto;padding-left:12px">${text}</b></div>`;
  const rows = ps.filter(p => !p.seriesId.startsWith('usual') && p.value[1] != null && %s)
    .map(p => row(p.marker, p.seriesName, say(p.value[1])));
  if (low && wide && low.value[1] != null)
    rows.push(row(wide.marker, 'usual', say(low.value[1]) + ' to ' + say(low.value[1] + wide.value[1])));
  const when = at.toLocaleString([], {month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit'});
  return `<div style="opacity:.7">${when}</div>` + (rows.join('') || 'nothing measured');
}"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a value a point, None where nothing was measured. Without a color it has the next of `COLORS`."""

    name: str
    values: Values
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """What is usual, a point each: from `low` to `high`."""

    low: Values
    high: Values


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to be seen: an upright line with a short label. Colours of severity are for severities alone."""

    at_ms: int
    label: str
    color: str = _DIM


@dataclass(frozen=True, slots=True)
class Key:
    """A line of the legend; its text is shown as text."""

    name: str
    color: str
    last: str
    """The latest value, with its unit; of parts of a whole, which part it is."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, its legend, and what it says to who does not see it."""

    options: Options
    keys: tuple[Key, ...] = ()
    text: str = ""
    is_empty: bool = field(default=False)


def lines(
    starts_ms: Sequence[int],
    named: Sequence[Line],
    unit: Unit,
    band: Band | None = None,
    marks: Sequence[Mark] = (),
    *,
    ends: tuple[int, int] | None = None,
    from_zero: bool = True,
    is_waiting: bool = False,
) -> Figure:
    """Lines over time. Gaps stay gaps.

    `starts_ms`: epoch milliseconds of the points. `ends`: from when to when the axis reaches, else as far as the
    points do. `from_zero`: whether the axis begins at 0, or where the values do.
    `is_waiting`: nothing is known yet, which is not to say that nothing was measured.
    """
    drawn = [_colored(at, line) for at, line in enumerate(named)]
    series = [*_band(starts_ms, band), *(_line(at, starts_ms, line) for at, line in enumerate(drawn))]
    _mark(series, marks, ends)
    options = _frame(starts_ms, unit, ends, from_zero)
    options["series"] = series
    options["tooltip"][":formatter"] = _TOOLTIP % (unit.js, "true")
    figure = _figure(options, drawn, unit, band)
    if is_waiting:
        options["title"]["show"] = False
    return figure


def stacked(
    starts_ms: Sequence[int],
    named: Sequence[Line],
    unit: Unit,
    marks: Sequence[Mark] = (),
    *,
    step_ms: int,
    ends: tuple[int, int] | None = None,
) -> Figure:
    """Parts of a whole over time, as steps of `step_ms` upon one another; what is None counts as nothing."""
    drawn = [_colored(at, line) for at, line in enumerate(named)]
    closed = [*starts_ms, starts_ms[-1] + step_ms] if starts_ms else []
    series: list[Options] = []
    for line in drawn:
        values = [value or 0.0 for value in line.values]
        series.append(
            {
                "type": "line",
                "id": f"line-{len(series)}",
                "name": in_chart(line.name),
                "stack": "all",
                "step": "end",
                "symbol": "none",
                "color": line.color,
                "lineStyle": {"width": 0},
                "areaStyle": {"color": line.color, "opacity": 0.85},
                "emphasis": {"disabled": True},
                "data": _points(closed, [*values, *values[-1:]]),
            }
        )
    _mark(series, marks, ends)
    options = _frame(starts_ms, unit, ends, True)
    options["series"] = series
    options["tooltip"][":formatter"] = _TOOLTIP % (unit.js, "p.value[1] > 0")
    return replace(_figure(options, drawn, unit, None), keys=_shares(drawn))


def spark(starts_ms: Sequence[int], values: Values, band: Band | None = None) -> Figure:
    """A line of a tile: no axes and no words, and what is usual behind it."""
    line = Line("", values, COLORS[0])
    return Figure(
        {
            "animation": False,
            "grid": {"left": 1, "right": 1, "top": 3, "bottom": 3, "outerBoundsMode": "none"},
            "xAxis": {"type": "time", "show": False},
            "yAxis": {"type": "value", "show": False, "min": 0},
            "series": [*_band(starts_ms, band), _line(0, starts_ms, line, width=1.5)],
        },
        is_empty=_is_empty([line]),
    )


def _colored(at: int, line: Line) -> Line:
    return line if line.color else Line(line.name, line.values, COLORS[at % len(COLORS)])


def _frame(starts_ms: Sequence[int], unit: Unit, ends: tuple[int, int] | None, from_zero: bool) -> Options:
    """Axes and the like. Edges are fixed, so that charts below one another are in line."""
    label: Options = {"color": _DIM, "fontSize": 11}
    begin, end = ends or (starts_ms[0], starts_ms[-1]) if starts_ms else ends or (None, None)
    return {
        "animation": False,
        "textStyle": {"fontFamily": "Roboto, sans-serif"},
        "grid": {"left": _LEFT, "right": _RIGHT, "top": _TOP, "bottom": _BOTTOM, "outerBoundsMode": "none"},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "transitionDuration": 0,
            "backgroundColor": "var(--rw-card)",
            "borderColor": _LINE,
            "textStyle": {"color": "var(--rw-ink)", "fontSize": 12},
            "axisPointer": {"type": "line", "lineStyle": {"color": _DIM, "type": "solid", "width": 1}},
        },
        "xAxis": {
            "type": "time",
            "axisLabel": label
            | {"hideOverlap": True, "alignMaxLabel": "right", "rich": {"primary": {"fontWeight": "normal"}}},
            "min": begin,
            "max": end,
            "splitNumber": 4,
            "axisLine": {"lineStyle": {"color": _LINE}},
            "axisTick": {"lineStyle": {"color": _LINE}},
        },
        "yAxis": {
            "type": "value",
            "min": 0 if from_zero else None,
            "scale": not from_zero,
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": _LINE}},
            # So much a minute is said once, beside the title.
            "axisLabel": label | {":formatter": unit.js_bare},
        },
    }


def _band(starts_ms: Sequence[int], band: Band | None) -> list[Options]:
    """Two lines upon one another: nothing up to what is usual at least, then a soft area. Empty without a band, so
    that a chart keeps its number of series: by that ECharts tells what it may update in place."""
    low: list[float | None] = []
    wide: list[float | None] = []
    if band is not None:
        for bottom, top in zip(band.low, band.high, strict=True):
            known = bottom is not None and top is not None and math.isfinite(bottom) and math.isfinite(top)
            low.append(bottom if known else None)
            wide.append(top - bottom if bottom is not None and top is not None and known else None)
    shape: Options = {
        "type": "line",
        "stack": _BAND,
        "stackStrategy": "all",
        "symbol": "none",
        "silent": True,
        "color": "var(--rw-band)",
        "lineStyle": {"width": 0},
        "emphasis": {"disabled": True},
        "z": 1,
    }
    times = starts_ms if band is not None else []
    return [
        shape | {"id": f"{_BAND}-low", "name": "", "data": _points(times, low)},
        shape
        | {
            "id": _BAND,
            "name": _BAND,
            "areaStyle": {"color": "var(--rw-band)", "opacity": 1},
            "data": _points(times, wide),
        },
    ]


def _line(at: int, starts_ms: Sequence[int], line: Line, width: float = 2.0) -> Options:
    return {
        "type": "line",
        # By its place: ECharts updates what has the same id, and keeps what has another one.
        "id": f"line-{at}",
        "name": in_chart(line.name),
        "symbol": "none",
        "color": line.color,
        "lineStyle": {"width": width, "color": line.color},
        "emphasis": {"disabled": True},
        "connectNulls": False,
        "z": 3,
        "data": _points(starts_ms, line.values),
    }


def _points(starts_ms: Sequence[int], values: Values) -> list[Any]:
    """Pairs of time and value; a value with a gap on either side is a dot, since it is no line."""
    known = [None if value is None or not math.isfinite(value) else value for value in values]
    points: list[Any] = []
    for at, (start, value) in enumerate(zip(starts_ms, known, strict=True)):
        before = known[at - 1] if at else None
        after = known[at + 1] if at + 1 < len(known) else None
        is_alone = value is not None and before is None and after is None
        points.append(
            {"value": [start, value], "symbol": "circle", "symbolSize": 4} if is_alone else [start, value],
        )
    return points


def _mark(series: list[Options], marks: Sequence[Mark], ends: tuple[int, int] | None) -> None:
    """Upright lines. They hang on the first of the series, the invisible one of what is usual where there is one."""
    if not series:
        return
    near = (ends[1] - ends[0]) / 8 if ends else math.inf
    times = [mark.at_ms for mark in marks]
    series[0]["markLine"] = {
        "silent": True,
        "symbol": "none",
        "animation": False,
        "data": [
            {
                "xAxis": mark.at_ms,
                "lineStyle": {"color": mark.color, "type": "dashed", "width": 1.5},
                "label": {
                    # Not `{b}`: ECharts would take braces in a name for its own.
                    ":formatter": f"() => {_js_text(shown(mark.label, 30))}",
                    "color": mark.color,
                    "position": "end",
                    "fontSize": 11,
                    "distance": 3,
                    # Two that are close together stand back to back.
                    "align": "right" if at == 0 and times[1:] and times[1] - times[0] < near else "left",
                },
            }
            for at, mark in enumerate(marks)
        ],
    }


def _js_text(text: str) -> str:
    """A JavaScript string that says `text`, whatever is in it."""
    return json.dumps(text)


def _figure(options: Options, drawn: Sequence[Line], unit: Unit, band: Band | None) -> Figure:
    is_empty = _is_empty(drawn)
    options["title"] = {
        "show": is_empty,
        "text": "Nothing was measured in this time",
        "left": "center",
        "top": "middle",
        "textStyle": {"color": _DIM, "fontSize": 12, "fontWeight": "normal"},
    }
    keys = tuple(Key(shown(line.name, 60), line.color or "", unit.said(_last(line.values))) for line in drawn)
    return Figure(options, keys, _said(drawn, unit, band), is_empty)


def _shares(drawn: Sequence[Line]) -> tuple[Key, ...]:
    """A legend that tells which part of the whole each makes, all the time taken together."""
    sums = [sum(value or 0.0 for value in line.values) for line in drawn]
    whole = sum(sums)
    return tuple(
        Key(shown(line.name, 60), line.color or "", SHARE.said(part / whole if whole else None))
        for line, part in zip(drawn, sums, strict=True)
    )


def _said(drawn: Sequence[Line], unit: Unit, band: Band | None) -> str:
    """The text alternative: what each line is now, and between what it was."""
    told = []
    for line in drawn:
        known = [value for value in line.values if value is not None and math.isfinite(value)]
        name = f"{shown(line.name, 60)}: " if line.name else ""
        if known:
            between = f"between {unit.said(min(known))} and {unit.said(max(known))}"
            told.append(f"{name}{unit.said(known[-1])} at last, {between}.")
        else:
            told.append(f"{name}nothing was measured.")
    if band is not None and (low := _last(band.low)) is not None and (high := _last(band.high)) is not None:
        told.append(f"Usual: {unit.said(low)} to {unit.said(high)}.")
    return " ".join(told)


def _last(values: Values) -> float | None:
    return next((value for value in reversed(values) if value is not None and math.isfinite(value)), None)


def _is_empty(drawn: Sequence[Line]) -> bool:
    return all(_last(line.values) is None for line in drawn)
