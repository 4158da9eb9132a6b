"""Incidents and the fleet as JSON, of a real ClickHouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from runwatch.console.api import fleet, incidents
from runwatch.sinks.query import Reader

from .incident_store import stored, tell

pytestmark = pytest.mark.stack


class Asked:
    """The part of a context that routes ask."""

    def __init__(self, reader: Reader) -> None:
        self.store = self
        self._reader = reader

    async def ask(self, question: Callable[[Reader], Any]) -> Any:
        return question(self._reader)


@pytest.fixture(scope="module")
def client(stack: Any) -> Iterator[httpx.Client]:
    with stored(stack) as its:
        tell(its)
        app = FastAPI()
        for routes in (fleet, incidents):
            app.include_router(routes.router(Asked(its.reader)), prefix="/api")  # type: ignore[arg-type]
        with TestClient(app) as found:
            yield found


def test_the_list_of_incidents(client: httpx.Client) -> None:
    answer = client.get("/api/incidents").json()
    assert 2 == answer["total"]
    assert [("drift-1", "critical", True, 1), ("loop-2", "critical", False, 3)] == [
        (line["anomaly_id"], line["severity"], line["is_open"], line["episodes"]) for line in answer["lines"]
    ]
    assert ["drift-1"] == [line["anomaly_id"] for line in client.get("/api/incidents?is_open=true").json()["lines"]]
    assert [] == client.get("/api/incidents", params={"agent": "nobody"}).json()["lines"]
    assert {"critical": 1, "open": 1} == client.get("/api/incidents/open").json()


def test_one_incident_whole(client: httpx.Client) -> None:
    answer = client.get("/api/incidents/drift-1").json()
    assert "Tool calls a run of support: 10 for 10 minutes, 2.5 times the usual 4." == answer["line"]["sentence"]
    assert "1.4.3" == answer["causes"][0]["version"]
    assert len(answer["evidence"]["starts_ms"]) == len(answer["evidence"]["values"])
    assert 3 == answer["done"]["runs_stopped"]


def test_loops_like_one(client: httpx.Client) -> None:
    assert {"loop-0", "loop-1", "loop-2"} == {
        line["anomaly_id"] for line in client.get("/api/incidents/loop-1/like").json()
    }
    assert ["drift-1"] == [line["anomaly_id"] for line in client.get("/api/incidents/drift-1/like").json()]


@pytest.mark.parametrize("path", ["/api/incidents/nobody's", "/api/incidents/nobody's/like"])
def test_an_incident_that_is_none(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert 404 == answer.status_code
    assert "nobody's" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/incidents?limit=0",
        "/api/incidents?limit=100000",
        "/api/incidents?offset=-1",
        "/api/incidents?severity=awful",
        "/api/incidents?order=any",
        "/api/fleet?span=1y",
        "/api/fleet/by?metric=runs&dimension=colour",
    ],
)
def test_what_is_asked_for_amiss(client: httpx.Client, path: str) -> None:
    assert 422 == client.get(path).status_code


def test_the_fleet_over_time(client: httpx.Client) -> None:
    answer = client.get("/api/fleet", params={"span": "6h", "agent": "support"}).json()
    assert all(len(values) == len(answer["starts_ms"]) for values in answer["lines"].values())
    assert {"success", "loop_detected", "gave_up"} == set(answer["stop_reasons"])
    assert 80 == sum(answer["stop_reasons"]["loop_detected"])
    lines = client.get("/api/fleet/by?metric=errors&dimension=version&span=6h").json()
    assert {"1.4.2", "1.4.3"} == {line["name"] for line in lines}


def test_a_span_of_ones_own(client: httpx.Client) -> None:
    assert 400 == client.get("/api/fleet?from_ms=2000&to_ms=1000").status_code
    assert 200 == client.get("/api/fleet?from_ms=0&to_ms=3600000").status_code


def test_a_metric_that_there_is_none_of(client: httpx.Client) -> None:
    answer = client.get("/api/fleet/by?metric=beauty&dimension=agent")
    assert 400 == answer.status_code
    assert "'beauty'" in answer.json()["detail"]


def test_agents_and_what_to_choose_from(client: httpx.Client) -> None:
    (agent,) = client.get("/api/agents?span=6h").json()
    assert ("support", 600) == (agent["agent"], agent["runs"])
    assert "critical" == agent["severity"]
    answer = client.get("/api/fleet/choices").json()
    assert (["support"], ["http.get"]) == (answer["agents"], answer["tools"])


def test_every_route_is_described(client: httpx.Client) -> None:
    found = client.get("/openapi.json").json()["paths"]
    assert {
        "/api/fleet", "/api/fleet/by", "/api/fleet/choices", "/api/agents", "/api/incidents", "/api/incidents/open",
        "/api/incidents/{anomaly_id}", "/api/incidents/{anomaly_id}/like",
    } == set(found)  # fmt: skip
    for path, methods in found.items():
        assert methods["get"]["summary"], path
        assert "$ref" in str(methods["get"]["responses"]["200"]), path
