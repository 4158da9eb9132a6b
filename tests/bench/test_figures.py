"""Medians, spreads and quantiles."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from runwatch.bench.delay import Waiting
from runwatch.bench.errors import BenchError
from runwatch.bench.figures import delays, quantile, rounded, together
from runwatch.bench.meter import MIB, Sample, Track
from runwatch.bench.options import Options
from runwatch.bench.report import show
from runwatch.bench.result import Result

values = st.lists(st.floats(-1e9, 1e9), min_size=1)


def test_a_quantile_is_one_of_the_values() -> None:
    assert 50 == quantile(range(1, 101), 0.5)
    assert 99 == quantile(range(100, 0, -1), 0.99)
    assert 1 == quantile(range(1, 101), 0)
    assert 100 == quantile(range(1, 101), 1)
    assert 7 == quantile([7], 0.99)


@given(values, st.floats(0, 1))
def test_as_many_values_as_said_do_not_exceed_a_quantile(some: list[float], q: float) -> None:
    found = quantile(some, q)
    assert found in some
    assert sum(value <= found for value in some) >= q * len(some)
    assert sum(value < found for value in some) < max(q * len(some), 1)


@pytest.mark.parametrize(("some", "q"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_there_is_no_quantile_of_nothing(some: list[float], q: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        quantile(some, q)


def test_delays_are_told_in_milliseconds() -> None:
    expected = {"row_p50_ms": 200, "row_p99_ms": 300, "row_max_ms": 300, "row_probes": 3}
    assert expected == delays([0.3, 0.1, 0.2], "row")


def test_repeats_come_together_as_median_and_spread() -> None:
    rows = [{"events_per_s": 3.0, "n": 1}, {"events_per_s": 1.0, "n": 5}, {"events_per_s": 2.0, "n": 3}]
    assert {"events_per_s": 2, "events_per_s_min": 1, "events_per_s_max": 3, "n": 3} == together(rows)
    assert {"events_per_s": 3.0, "n": 1} == together(rows[:1])
    assert "1" == str(together([{"n": 1}, {"n": 1}])["n"])  # a count stays a count


@pytest.mark.parametrize(
    ("given_value", "expected"), [(123456.7, 123457), (12.3456, 12.35), (0.00123456, 0.001235), (0.0, 0.0), (7, 7)]
)
def test_four_digits_count(given_value: float, expected: float) -> None:
    assert expected == rounded(given_value)


def test_the_rate_is_between_the_first_commit_and_the_last_before_the_end() -> None:
    samples = [Sample(10.0 + at, 1_000 * at, 5.0 + at, {"kafka": 0.5 * at}) for at in (1, 2, 3, 5)]
    track = Track(8.0, 6_000, [*samples, Sample(20.0, 6_000, 99.0, {"kafka": 99.0})], 3 * MIB)
    expected = {
        "events_per_s": 1_000.0,
        "cpu_s_per_million": 1_000.0,
        "peak_rss_mib": 3.0,
        "start_s": 3.0,
        "events": 4_000,
        "kafka_cpu_s_per_million": 500.0,
    }
    assert expected == track.figures()


def test_a_short_way_is_measured_to_its_end() -> None:
    track = Track(0.0, 3_000, [Sample(1.0, 1_000, 0.0), Sample(3.0, 3_000, 1.0)])
    assert 1_000.0 == track.figures()["events_per_s"]


@pytest.mark.parametrize("early", [[], [Sample(4.9, 10, 1.4, {"kafka": 0.9})]])
def test_what_is_soon_over_is_measured_from_the_start(early: list[Sample]) -> None:
    track = Track(2.0, 3_000, [*early, Sample(5.0, 3_000, 1.5, {"kafka": 1.0})])
    figures = track.figures()
    assert 1_000.0 == figures["events_per_s"]
    assert 500.0 == figures["cpu_s_per_million"]
    assert 3_000 == figures["events"]


def test_without_a_commit_there_is_no_rate() -> None:
    with pytest.raises(BenchError, match="nothing was committed"):
        Track(0.0, 3_000).figures()


def test_what_is_seen_before_its_sender_is_heard_counts() -> None:
    waiting = Waiting()
    waiting.sent("a", 1.0)
    waiting.seen("b", 2.5)
    waiting.sent("b", 2.0)
    assert ["a"] == waiting.open()
    waiting.seen("a", 1.25)
    waiting.seen("a", 9.0)
    assert [(2.0, 0.5), (1.0, 0.25)] == waiting.delays
    assert [] == waiting.open()


def test_a_result_is_one_line_of_json_and_a_table() -> None:
    figures = {"events_per_s": 200_000, "events_per_s_min": 190_000, "events_per_s_max": 210_000, "loops_found": 3}
    result = Result("process", figures, {"faust": {"events_per_s": 4_000}}, {"cores": 2}, ("process: 1 lost",))
    expected = {"part": "process", "figures": figures, "peers": {"faust": {"events_per_s": 4_000}}}
    assert expected | {"machine": {"cores": 2}} == json.loads(result.line())
    assert "\n" not in result.line()
    console = Console(width=120, record=True, file=io.StringIO())
    show(result, console)
    text = console.export_text()
    assert "200,000 (190,000 to 210,000)" in text
    assert "4,000" in text
    assert "process: 1 lost" in text
    assert "events_per_s_min" not in text


def test_options_that_measure_nothing_are_refused() -> None:
    with pytest.raises(BenchError, match="events is at least 1000"):
        Options(events=10)
