"""Charts as options: what ECharts is told, and what is told to who does not see it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwatch.console.widgets.chart import COLORS, QUIET, Band, Line, Mark, lines, spark, stacked
from runwatch.console.widgets.units import COUNT, MS, PER_MINUTE, SHARE, USD, USD_PER_MINUTE, Unit

STARTS = [60_000, 120_000, 180_000, 240_000]
MARKUP = "<img src=x onerror=alert(1)>"


def series(options: dict[str, Any], its: str) -> dict[str, Any]:
    return next(one for one in options["series"] if one["id"] == its)


def test_a_line_is_pairs_of_time_and_value_and_a_gap_stays_one() -> None:
    figure = lines(STARTS, [Line("mean", [1.0, 2.0, None, 4.0])], COUNT)
    assert [
        [60_000, 1.0],
        [120_000, 2.0],
        [180_000, None],
        {"value": [240_000, 4.0], "symbol": "circle", "symbolSize": 4},
    ] == series(figure.options, "line-0")["data"]
    assert series(figure.options, "line-0")["connectNulls"] is False


def test_what_is_no_number_is_a_gap() -> None:
    figure = lines(STARTS, [Line("mean", [1.0, math.nan, math.inf, 4.0])], COUNT)
    assert [1.0, None, None, 4.0] == [
        point["value"][1] if isinstance(point, dict) else point[1] for point in series(figure.options, "line-0")["data"]
    ]


def test_the_band_is_nothing_up_to_its_low_and_then_as_wide_as_it_is() -> None:
    figure = lines(STARTS, [Line("", [1.0] * 4)], COUNT, Band([2.0, 2.0, None, 1.0], [5.0, 6.0, 7.0, None]))
    assert [2.0, 2.0, None, None] == [
        point[1] for point in series(figure.options, "usual-low")["data"] if isinstance(point, list)
    ]
    assert [3.0, 4.0, None, None] == [
        point[1] for point in series(figure.options, "usual")["data"] if isinstance(point, list)
    ]


def test_a_chart_keeps_its_number_of_series_with_and_without_a_band() -> None:
    """By that number the page knows whether it may update in place."""
    with_band = lines(STARTS, [Line("", [1.0] * 4)], COUNT, Band([2.0] * 4, [5.0] * 4))
    without = lines(STARTS, [Line("", [1.0] * 4)], COUNT)
    assert len(with_band.options["series"]) == len(without.options["series"])
    assert [] == series(without.options, "usual")["data"]


def test_names_are_escaped_where_they_become_html_and_plain_where_they_are_text() -> None:
    figure = lines(STARTS, [Line(MARKUP, [1.0] * 4)], COUNT)
    assert "&lt;img src=x onerror=alert(1)&gt;" == series(figure.options, "line-0")["name"]
    assert MARKUP == figure.keys[0].name
    whole = json.dumps(figure.options)
    assert MARKUP not in whole
    assert "&lt;img" in json.dumps(stacked(STARTS, [Line(MARKUP, [1.0] * 4)], COUNT, step_ms=60_000).options)


@given(st.text(max_size=200))
def test_no_name_brings_markup_into_a_chart(name: str) -> None:
    options = lines(STARTS, [Line(name, [1.0] * 4)], COUNT).options
    assert not set("<>\"'") & set(series(options, "line-0")["name"])


@given(st.text(max_size=200))
def test_a_marks_label_is_a_string_whatever_is_in_it(label: str) -> None:
    options = lines(STARTS, [Line("", [1.0] * 4)], COUNT, marks=[Mark(120_000, label)]).options
    (mark,) = options["series"][0]["markLine"]["data"]
    function = mark["label"][":formatter"]
    assert function.startswith("() => ")
    assert isinstance(json.loads(function.removeprefix("() => ")), str)


def test_marks_stand_where_it_happened_in_their_colour() -> None:
    options = lines(
        STARTS, [Line("", [1.0] * 4)], COUNT, marks=[Mark(120_000, "onset"), Mark(180_000, "opened", "red")]
    ).options
    onset, opened = options["series"][0]["markLine"]["data"]
    assert (120_000, 180_000) == (onset["xAxis"], opened["xAxis"])
    assert "red" == opened["lineStyle"]["color"]
    # Two that are close together do not write over each other.
    assert {"left", "right"} == {onset["label"]["align"], opened["label"]["align"]}


def test_no_marks_take_away_those_that_were_there() -> None:
    assert [] == lines(STARTS, [Line("", [1.0] * 4)], COUNT).options["series"][0]["markLine"]["data"]


def test_the_axis_reaches_as_far_as_is_told_else_as_the_points_do() -> None:
    axis = lines(STARTS, [Line("", [1.0] * 4)], COUNT, ends=(0, 600_000)).options["xAxis"]
    assert (0, 600_000) == (axis["min"], axis["max"])
    axis = lines(STARTS, [Line("", [1.0] * 4)], COUNT).options["xAxis"]
    assert (60_000, 240_000) == (axis["min"], axis["max"])


def test_parts_reach_to_the_end_of_their_last_step() -> None:
    options = stacked(STARTS, [Line("a", [1.0, 2.0, 3.0, 4.0])], COUNT, step_ms=60_000).options
    assert [[60_000, 1.0], [120_000, 2.0], [180_000, 3.0], [240_000, 4.0], [300_000, 4.0]] == options["series"][0][
        "data"
    ]
    assert "end" == options["series"][0]["step"]


def test_the_legend_of_parts_tells_which_part_each_makes() -> None:
    figure = stacked(
        STARTS, [Line("success", [9.0, 9.0, 0.0, None], QUIET), Line("loop", [0.0, 0.0, 1.0, 1.0])], COUNT,
        step_ms=60_000,
    )  # fmt: skip
    assert [("success", "90%"), ("loop", "10%")] == [(key.name, key.last) for key in figure.keys]


def test_the_legend_of_lines_tells_the_latest_value() -> None:
    figure = lines(STARTS, [Line("mean", [1.0, 2.0, 3.5, None]), Line("p95", [None] * 4)], PER_MINUTE)
    assert ["3.5 /min", "–"] == [key.last for key in figure.keys]


def test_lines_have_colours_of_their_own_and_none_of_a_severity() -> None:
    figure = lines(STARTS, [Line(str(number), [1.0] * 4) for number in range(9)], COUNT)
    assert [*COLORS, COLORS[0]] == [key.color for key in figure.keys]
    assert not {"var(--rw-critical)", "var(--rw-warning)"} & set(COLORS)


def test_who_does_not_see_it_is_told() -> None:
    figure = lines(STARTS, [Line("mean", [4.0, 4.2, 12.0, 11.0])], COUNT, Band([3.9] * 4, [4.5] * 4))
    assert "mean: 11 at last, between 4 and 12. Usual: 3.9 to 4.5." == figure.text
    assert "p95: nothing was measured." == lines(STARTS, [Line("p95", [None] * 4)], COUNT).text


def test_nothing_measured_is_said_in_the_chart() -> None:
    for figure in (lines([], [], COUNT), lines(STARTS, [Line("a", [None] * 4)], COUNT)):
        assert figure.is_empty
        assert figure.options["title"]["show"] is True
    assert lines(STARTS, [Line("a", [0.0] * 4)], COUNT).options["title"]["show"] is False
    assert stacked([], [], COUNT, step_ms=60_000).is_empty


def test_a_spark_has_no_words() -> None:
    figure = spark(STARTS, [1.0, 2.0, 3.0, 4.0], Band([1.0] * 4, [2.0] * 4))
    assert (False, False) == (figure.options["xAxis"]["show"], figure.options["yAxis"]["show"])
    assert "tooltip" not in figure.options
    assert () == figure.keys


def test_options_are_json() -> None:
    for figure in (
        lines(STARTS, [Line("a", [1.0, None, math.nan, 2.0])], MS, Band([1.0] * 4, [2.0] * 4), [Mark(1, "x")]),
        stacked(STARTS, [Line("a", [1.0, None, 2.0, 3.0])], COUNT, step_ms=1),
        spark(STARTS, [None] * 4),
    ):
        assert figure.options == json.loads(json.dumps(figure.options, allow_nan=False))


@pytest.mark.parametrize(
    ("expected", "unit", "value"),
    [
        ("–", COUNT, None),
        ("–", COUNT, math.nan),
        ("0", COUNT, 0.0),
        ("4.16", COUNT, 4.1612),
        ("1,234", COUNT, 1234.4),
        ("123K", COUNT, 123_400.0),
        ("1.23M", COUNT, 1_234_000.0),
        ("12 /min", PER_MINUTE, 12.0),
        ("$0.0451", USD, 0.04512),
        ("$3.2 /min", USD_PER_MINUTE, 3.2),
        ("240 ms", MS, 240.0),
        ("7.1 s", MS, 7_117.0),
        ("42 s", MS, 42_000.0),
        ("2.4 min", MS, 144_000.0),
        ("5 h", MS, 18_000_000.0),
        ("1.9%", SHARE, 0.0187),
        ("41%", SHARE, 0.41),
        ("99.6%", SHARE, 0.996),
        ("100%", SHARE, 1.0),
        ("0%", SHARE, 0.0),
        ("−5", COUNT, -5.0),
    ],
)
def test_numbers_are_said_with_their_units(expected: str, unit: Unit, value: float | None) -> None:
    assert expected == unit.said(value)


def test_the_axis_says_no_more_than_the_number() -> None:
    assert "/min" in PER_MINUTE.js
    assert "/min" not in PER_MINUTE.js_bare
    assert "'$'" in USD_PER_MINUTE.js_bare
