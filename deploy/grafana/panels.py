"""Pieces of Grafana dashboards as plain values: queries, panels, variables, and a dashboard laid out in rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

PROMETHEUS = {"type": "prometheus", "uid": "runwatch-prometheus"}
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "runwatch-clickhouse"}
WIDTH = 24
"""Of a dashboard, in Grafana's units."""
SCHEMA_VERSION = 41
SEVERITIES = {"critical": "red", "warning": "orange", "info": "blue"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One query of a panel, as its data source wants it; `legend` only where that names the series."""

    target: Json


def prom(expr: str, legend: str = "", *, instant: bool = False) -> Query:
    """A question to Prometheus."""
    return Query(
        {
            "datasource": PROMETHEUS,
            "expr": expr,
            "legendFormat": legend or "__auto",
            "instant": instant,
            "range": not instant,
        }
    )


def sql(text: str, shape: str = "table") -> Query:
    """A question to ClickHouse; `shape`: table, or timeseries (a column `time`, names, numbers)."""
    return Query(
        {
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "queryType": shape,
            "format": 1 if shape == "table" else 0,
            "rawSql": "\n".join(line.strip() for line in text.strip().splitlines()),
        }
    )


@dataclass(frozen=True)
class Panel:
    """One panel: `kind` is Grafana's type; `width` and `height` in its units."""

    title: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    help: str = ""
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()

    def to_json(self, number: int, x: int, y: int) -> Json:
        """The panel at a place."""
        targets = [{**query.target, "refId": chr(ord("A") + at)} for at, query in enumerate(self.queries)]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.help,
            "datasource": targets[0]["datasource"],
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "interval": "1m" if targets[0]["datasource"] == CLICKHOUSE else None,
            "targets": targets,
            "options": self.options,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "custom": self.custom, **self.defaults},
                "overrides": list(self.overrides),
            },
        }


def series(title: str, *queries: Query, **given: Any) -> Panel:
    """Lines over time."""
    options = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": 180_000}
    return Panel(title, queries, options=options, custom=custom, **given)


def stacked(title: str, *queries: Query, **given: Any) -> Panel:
    """Areas over time, one upon the other."""
    panel = series(title, *queries, **given)
    return replace(panel, custom={**panel.custom, "stacking": {"mode": "normal"}, "fillOpacity": 60, "lineWidth": 0})


def number(title: str, query: Query, *, red_above: float | None = None, width: int = 4, **given: Any) -> Panel:
    """One number; red above a bound, where there is one."""
    steps: list[Json] = [{"color": "text", "value": None}]
    if red_above is not None:
        steps.append({"color": "red", "value": red_above})
    return Panel(
        title,
        [query],
        kind="stat",
        width=width,
        height=4,
        options={"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"},
        defaults={"thresholds": {"mode": "absolute", "steps": steps}},
        **given,
    )


def table(title: str, query: Query, *, width: int = WIDTH, links: Sequence[Json] = (), **given: Any) -> Panel:
    """Rows; a column `severity` has its colours."""
    colours = [{"type": "value", "options": {name: {"color": colour} for name, colour in SEVERITIES.items()}}]
    severity = {
        "matcher": {"id": "byName", "options": "severity"},
        "properties": [
            {"id": "mappings", "value": colours},
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        ],
    }
    return Panel(
        title,
        [query],
        kind="table",
        width=width,
        options={"showHeader": True, "cellHeight": "sm"},
        custom={"filterable": True},
        overrides=[severity, *links],
        **given,
    )


def link(column: str, title: str, url: str) -> Json:
    """Makes a table's column a link."""
    return {
        "matcher": {"id": "byName", "options": column},
        "properties": [{"id": "links", "value": [{"title": title, "url": url}]}],
    }


def choice(name: str, label: str, query: Query | str, *, several: bool = False) -> Json:
    """A variable that is chosen from what a query finds: SQL, or Prometheus' `label_values(…)`."""
    asked: Json = (
        {"datasource": PROMETHEUS, "query": {"query": query, "refId": name}, "sort": 1}
        if isinstance(query, str)
        else {"datasource": CLICKHOUSE, "query": query.target["rawSql"], "sort": 0}
    )
    return {
        "name": name,
        "label": label,
        "type": "query",
        **asked,
        "refresh": 2,
        "multi": several,
        "includeAll": several,
        "allValue": ".*" if several else None,
        "current": {"text": "All", "value": "$__all"} if several else {},
    }


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: rows of panels under titles, the first one without."""

    uid: str
    title: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[Json] = ()
    since: str = "now-1h"

    def to_json(self) -> Json:
        """As Grafana reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["runwatch"],
            "schemaVersion": SCHEMA_VERSION,
            "timezone": "browser",
            "refresh": "10s",
            "time": {"from": self.since, "to": "now"},
            "graphTooltip": 1,
            "links": [{"title": "runwatch", "type": "dashboards", "tags": ["runwatch"], "keepTime": True}],
            "templating": {"list": list(self.variables)},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterable[Json]:
        y = ids = 0
        for title, panels in self.rows:
            if title:
                ids += 1
                yield {
                    "id": ids,
                    "type": "row",
                    "title": title,
                    "collapsed": False,
                    "panels": [],
                    "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
                }
                y += 1
            x = height = 0
            for panel in panels:
                if x + panel.width > WIDTH:
                    x, y, height = 0, y + height, 0
                ids += 1
                yield panel.to_json(ids, x, y)
                x, height = x + panel.width, max(height, panel.height)
            y += height
