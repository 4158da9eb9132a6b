"""Two judgements beside each other: what is new, what is gone, and what is the same seen otherwise."""

from __future__ import annotations

from typing import Any

from runwatch.processors.compare import COLUMNS, NEAR_MS, Counts, Episodes, compare, summed
from runwatch.schemas.anomalies import Anomaly


def anomaly(name: str, **given: Any) -> Anomaly:
    told: dict[str, Any] = {
        "anomaly_id": name, "rule": "loop.repeat", "state": "open", "severity": "warning", "ts_ms": 2_000,
        "onset_ms": 1_000, "agent": "a", "value": 3.0, "message": "m", "run_id": name,
    }  # fmt: skip
    return Anomaly(**{**told, **given})


def episodes(*found: Anomaly) -> Episodes:
    one = Episodes()
    for anomaly in found:
        one.add(anomaly)
    return one


def changes(a: Episodes, b: Episodes) -> list[tuple[str, str]]:
    return [(row.change, row.report()["run_id"]) for row in compare(a, b)]


def test_the_same_is_left_out() -> None:
    both = episodes(anomaly("x"), anomaly("x", severity="critical", state="escalated", ts_ms=3_000))
    assert [] == changes(both, both)
    assert {"loop.repeat": Counts(1, 1)} == summed(both, both, [])


def test_what_only_one_of_them_says() -> None:
    a, b = episodes(anomaly("both"), anomaly("old")), episodes(anomaly("both"), anomaly("young", ts_ms=1_000))
    assert [("new", "young"), ("gone", "old")] == changes(a, b)
    new, gone = (row.report() for row in compare(a, b))
    assert tuple(new) == COLUMNS
    assert (None, "warning", None, 1_000) == tuple(
        new[name] for name in ("severity_a", "severity_b", "time_a", "time_b")
    )
    assert ("warning", None, 2_000, None) == tuple(
        gone[name] for name in ("severity_a", "severity_b", "time_a", "time_b")
    )


def test_another_severity_is_the_worst_that_was_told() -> None:
    worse = anomaly("x", severity="critical", state="escalated", ts_ms=9_000)
    a, b = episodes(anomaly("x")), episodes(anomaly("x"), worse, anomaly("x", state="resolved", ts_ms=9_999))
    (row,) = compare(a, b)
    assert ("severity", "warning", "critical", 2_000, 2_000) == tuple(
        row.report()[name] for name in ("change", "severity_a", "severity_b", "time_a", "time_b")
    )
    assert {"loop.repeat": {"critical": 1, "warning": 0, "info": 0}} == b.counts()


def test_another_time() -> None:
    assert [("time", "x")] == changes(episodes(anomaly("x")), episodes(anomaly("x", ts_ms=2_500)))


def test_an_episode_whose_onset_moved_has_another_id_and_is_the_same() -> None:
    def drift(onset_ms: int, **given: Any) -> Anomaly:
        name = f"{given.get('agent')}-{onset_ms}"
        return anomaly(name, rule="drift.x", run_id=None, onset_ms=onset_ms, ts_ms=onset_ms + 600_000, **given)

    a = episodes(drift(0), drift(10 * NEAR_MS))
    b = episodes(drift(60_000), drift(10 * NEAR_MS, agent="other"))
    rows = list(compare(a, b))
    assert ["time", "gone", "new"] == [row.change for row in rows]
    assert {"drift.x": Counts(2, 2, {"new": 1, "gone": 1, "severity": 0, "time": 1})} == summed(a, b, rows)
    # Too far apart to be one.
    assert ["gone", "new"] == [row.change for row in compare(episodes(drift(0)), episodes(drift(NEAR_MS + 1)))]
