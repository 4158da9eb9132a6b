"""The names: as Prometheus wants them, as the queries expect them, and all of them in the documents."""

from __future__ import annotations

import re
from pathlib import Path

from runwatch.metrics.names import METRICS


def test_names_are_told_apart_and_no_counter_says_total_itself() -> None:
    every = [name for metric in METRICS for name in metric.series]
    assert len(every) == len(set(every))
    assert not [m.name for m in METRICS if not re.fullmatch(r"(agent|runwatch)_[a-z_]+", m.name) or "total" in m.name]


def test_buckets_ascend_and_only_histograms_have_them() -> None:
    for metric in METRICS:
        assert list(metric.bounds) == sorted(set(metric.bounds))
        assert (metric.kind == "histogram") == bool(metric.bounds)


def test_what_the_queries_expect_is_there() -> None:
    series = {name: metric.labels for metric in METRICS for name in metric.series}
    assert ("agent",) == series["agent_tool_calls_bucket"] == series["agent_run_latency_ms_bucket"]
    assert ("agent", "stop_reason") == series["agent_stop_total"]


def test_the_document_has_every_metric_its_kind_and_its_labels(root: Path) -> None:
    page = (root / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    }
    assert {
        metric.series[0] if metric.kind == "counter" else metric.name: (metric.kind, metric.labels)
        for metric in METRICS
    } == told
