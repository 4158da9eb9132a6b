"""Each part of the bench, tiny: it comes to its end, its work is right, and nothing is left running."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from runwatch.bench.errors import BenchError
from runwatch.bench.options import Options
from runwatch.bench.result import Result
from runwatch.bench.run import PARTS, USUAL, run


def test_a_part_that_nobody_knows_is_refused_before_anything_starts() -> None:
    with pytest.raises(BenchError, match="no part 'speed'"):
        run(["process", "speed"])


def test_parts_that_break_what_they_measure_are_asked_for_by_name() -> None:
    assert {"recovery", "outage"} == PARTS.keys() - USUAL


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_every_usual_part_measures_right_work_and_leaves_nothing(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    told: list[str] = []
    shown: list[Result] = []
    options = Options(
        events=20_000,
        repeats=1,
        peer_s=2,
        rate=500,
        delay_s=3,
        scenarios=("new agents",),
        folder=tmp_path,
        stored=20_000,
    )
    results = run(options=options, tell=lambda what, _: told.append(what), show=shown.append)

    assert shown == results
    assert USUAL == [result.part for result in results]
    assert [()] * len(USUAL) == [result.problems for result in results]
    figures = {result.part: result.figures for result in results}
    process, sink, delay, control = (figures[part] for part in ("process", "sink", "delay", "control"))
    assert 0 == process["loops_missed"] == process["loops_false"]
    assert 0 < process["loops_found"]
    assert 0 < process["events_per_s"]
    assert {"faust", "quixstreams"} == set(results[0].peers)
    assert sink["events"] == sink["stored"] == sink["rows"]
    assert {"row inserts"} == set(results[1].peers)
    assert 0 == delay["rows_missed"] == delay["anomalies_missed"]
    assert 0 < delay["row_p50_ms"] <= delay["row_p99_ms"]
    assert 0 < delay["anomaly_p50_ms"] <= delay["anomaly_p99_ms"]
    assert 0 == control["runs_not_stopped"] < control["runs"] == control["stop_probes"]
    assert 0 < control["stop_p50_ms"] <= control["stop_p99_ms"]
    sdk, peers = figures["sdk"], results[USUAL.index("sdk")].peers
    assert {"bare", "opentelemetry"} == set(peers)
    assert 0 < peers["bare"]["call_p50_us"] < sdk["call_p50_us"] <= sdk["call_p99_us"]
    assert 0 < sdk["check_p50_us"] < sdk["call_p50_us"]
    assert sdk["calls"] == peers["opentelemetry"]["calls"] > 1_000
    store = figures["store"]
    assert 20_000 == pytest.approx(store["events"], rel=0.05)
    assert 0 < store["fleet_24h_p95_ms"]
    assert 0 < store["run_by_id_p95_ms"]
    beside = results[USUAL.index("store")].sheets[1].rows
    assert all(row["with_ms"] > 0 and row["without_ms"] > 0 for row in beside)
    assert 2 < figures["detection"]["quiet_agent_days"] < 4
    assert all("cpu" in result.machine for result in results)
    assert any(text.startswith("making") for text in told)

    assert [] == list(tmp_path.iterdir())
    assert before == {child.pid for child in psutil.Process().children(recursive=True)}
