"""Every query of every dashboard, against the running stack while there is an incident: none fails, each has rows."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest

from runwatch.metrics.names import METRICS

from .watched import LOOPING, Watched

pytestmark = pytest.mark.stack

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
DASHBOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
TARGETS = [
    pytest.param(target, id=f"{name}: {panel['title']} {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", ())
]
PROMETHEUS = [one for one in TARGETS if one.values[0]["datasource"]["type"] == "prometheus"]
CLICKHOUSE = [one for one in TARGETS if one.values[0]["datasource"]["type"] == "grafana-clickhouse-datasource"]
VARIABLES = [
    pytest.param(name, variable, id=f"{name}: {variable['name']}")
    for name, dashboard in DASHBOARDS.items()
    for variable in dashboard["templating"]["list"]
]
SPAN_S = 600
KNOWN = {name for metric in METRICS for name in metric.series} | {
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
    "agent:tool_calls_per_run:p95_usual",
}  # fmt: skip


def of_clickhouse(text: str, **variables: str) -> str:
    """The SQL as Grafana's data source sends it: its macros, then the variables, filled in as its sources have them."""
    now = int(time.time())
    start, end = f"toDateTime({now - SPAN_S})", f"toDateTime({now})"
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {start} AND \1 <= {end}", text)
    text = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", text)
    for name, value in variables.items():
        quoted = "'" + value.replace("'", "\\'") + "'"
        text = text.replace(f"${{{name}:singlequote}}", quoted)
    assert "$" not in text, text
    return text


def incident(watched: Watched) -> str:
    """The incident that one finds first: the dashboard's own list."""
    (variable,) = DASHBOARDS["incident"]["templating"]["list"]
    (first, *_) = watched.rows(of_clickhouse(variable["query"]))
    return str(first[0])


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
def test_there_is_something_to_choose(watched: Watched, name: str, variable: dict[str, Any]) -> None:
    if variable["datasource"]["type"] == "prometheus":
        asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert asked is not None
        assert LOOPING in watched.api(f"label/{asked[2]}/values", **{"match[]": asked[1]})
    else:
        rows = watched.rows(of_clickhouse(variable["query"]))
        assert [row for row in rows if LOOPING in row[-1]]


@pytest.mark.parametrize("target", PROMETHEUS)
def test_prometheus_answers(watched: Watched, target: dict[str, Any]) -> None:
    expression = target["expr"].replace("$__rate_interval", "1m").replace("$agent", ".*")
    assert "$" not in expression
    named = set(re.findall(r"\b(?:agent|runwatch|process)[_:][\w:]+", re.sub(r'"[^"]*"|by \([^)]*\)', "", expression)))
    assert named and named <= KNOWN
    now = time.time()
    found = watched.api("query_range", query=expression, start=str(now - 60), end=str(now), step="2")["result"]
    assert found, expression
    numbers = [float(value) for one in found for _, value in one["values"]]
    # What is usual is not known after a minute.
    assert "usual" in expression or [value for value in numbers if math.isfinite(value)], expression


@pytest.mark.parametrize("target", CLICKHOUSE)
def test_clickhouse_answers(watched: Watched, target: dict[str, Any]) -> None:
    query = of_clickhouse(target["rawSql"], agent=LOOPING, incident=incident(watched))
    rows = watched.rows(query)
    assert rows, query
    if target["queryType"] == "timeseries":
        assert [row for row in rows if any(isinstance(one, int | float) and math.isfinite(one) for one in row[1:])]


def test_a_variable_cannot_leave_its_quotes(watched: Watched) -> None:
    """Names are what agents say."""
    for _, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard["panels"])
        assert not re.findall(r"\$(?:agent|incident)\b(?!\\\")", text)
        assert set() == set(re.findall(r"\$\{(?:agent|incident)(?!:singlequote)[^}]*\}", text))
    assert [] == watched.rows(
        of_clickhouse("SELECT 1 FROM anomalies WHERE agent = ${agent:singlequote}", agent="' OR 1 = 1 --")
    )
