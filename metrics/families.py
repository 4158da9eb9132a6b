"""Counts → prometheus-client's metric families: the one place where its types are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from .labels import clean
from .names import Metric
from .spread import Spread

Labels = Sequence[str]


def valued(metric: Metric, samples: Iterable[tuple[Labels, float]]) -> Family:
    """A counter or gauge with these samples; labels in the metric's order, already clean."""
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def single(metric: Metric, value: float) -> Family:
    """A counter or gauge without labels."""
    return valued(metric, [((), value)])


def named(metric: Metric, values: Mapping[str, float]) -> Family:
    """A counter or gauge with one label, whatever its values are named."""
    return valued(metric, [((clean(name),), value) for name, value in values.items()])


def spread(metric: Metric, samples: Iterable[tuple[Labels, Sequence[int], float]]) -> Family:
    """A histogram; of each sample its labels, how many are at or below each bound and in all, and their sum."""
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
    for labels, counts, total in samples:
        family.add_metric(labels, list(zip(bounds, counts, strict=True)), total)
    return family


def spreads(metric: Metric, by_name: Mapping[str, Spread]) -> Family:
    """A histogram with one label."""
    return spread(metric, [((clean(name),), one.cumulated(), one.total) for name, one in by_name.items()])
