"""What several dashboards ask in the same words."""

from __future__ import annotations

RATE = "[$__rate_interval]"
TO_AGENT = "/d/runwatch-agent?var-agent=${__value.raw:percentencode}&${__url_time_range}"
TO_INCIDENT = "/d/runwatch-incident?var-incident=${__value.raw:percentencode}&${__url_time_range}"


def quantile(share: float, metric: str, where: str = "", by: str = "") -> str:
    """A quantile of a histogram; `by`: the labels that are told apart."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{where}}}{RATE})))"


def a_second(metric: str, where: str = "", by: str = "") -> str:
    """How fast a counter rises, summed up."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{where}}}{RATE}))"
