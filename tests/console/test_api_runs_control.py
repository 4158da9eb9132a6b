"""Runs, control, approvals and audit as JSON: of a console beside the real servers, and of one beside none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from runwatch.console.pages.runs import address, filter_of
from runwatch.control.send import send
from runwatch.schemas.controls import Control
from runwatch.schemas.ids import uuid7
from runwatch.schemas.registry import open_registry
from runwatch.schemas.topics import CONTROL, ensure_topics

from .filled import Filled, event
from .served import OPERATOR, VIEWER, Served, serving

ODD = "a/b?c=<b>&d#e%2F é"


@dataclass(frozen=True)
class Beside:
    """A console beside the real servers."""

    served: Served
    filled: Filled

    def client(self, token: str = OPERATOR) -> httpx.Client:
        return self.served.client(authorization=f"Bearer {token}", **{"x-runwatch-name": "ann"})

    def get(self, path: str, **query: Any) -> Any:
        with self.client(VIEWER) as client:
            answer = client.get(path, params=query)
        assert 200 == answer.status_code, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def beside(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    filled = Filled(stack.unique())
    its = filled.settings
    ensure_topics(its.kafka, its.prefix, partitions=1)
    lately = int(time.time() * 1000) - 1_000
    filled.events(
        event("r1", 0, "run_start"),
        event("r1", 1, tool="search", args_sha="a", result_sha="x"),
        event("r1", 2, tool="search", args_sha="a", result_sha="x"),
        event("r1", 3, tool="mail", args_sha="b", status="error", error="ApprovalRequired", ts_ms=lately,
              stop_reason="approval_required"),
        event(ODD, 0, "run_start"),
        event(ODD, 1, "stop", stop_reason="success"),
    )  # fmt: skip
    given = {"kafka": its.kafka, "clickhouse": its.clickhouse, "prefix": its.prefix, "database": its.database}
    with serving(tmp_path_factory.mktemp("beside"), **given) as served:
        yield Beside(served, filled)
    filled.close()


def eventually(look: Callable[[], bool], seconds: float) -> float:
    """Seconds until `look` holds."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.stack
def test_runs_are_listed_and_filtered(beside: Beside) -> None:
    found = beside.get("/api/runs", limit=1)
    assert (["r1"], True) == ([one["run_id"] for one in found["runs"]], found["more"])
    assert [ODD] == [one["run_id"] for one in beside.get("/api/runs", stop_reason="success")["runs"]]
    assert [] == beside.get("/api/runs", anomalous=True)["runs"]


@pytest.mark.stack
def test_a_run_is_told_whole(beside: Beside) -> None:
    told = beside.get("/api/runs/r1")
    assert [None, None, 1, None] == [one["again"] for one in told["steps"]]
    assert "It has not stopped, as far as is stored." == told["why"]


@pytest.mark.stack
def test_a_runs_steps_come_page_by_page(beside: Beside) -> None:
    first = beside.get("/api/runs/r1/events", limit=2)
    assert ([0, 1], True) == ([one["seq"] for one in first["steps"]], first["more"])
    rest = beside.get("/api/runs/r1/events", after_seq=1)
    assert ([2, 3], False) == ([one["seq"] for one in rest["steps"]], rest["more"])


@pytest.mark.stack
def test_an_id_may_hold_anything(beside: Beside) -> None:
    place = quote(ODD, safe="")
    assert ODD == beside.get(f"/api/runs/{place}")["run"]["run_id"]
    assert 2 == len(beside.get(f"/api/runs/{place}/events")["steps"])


@pytest.mark.stack
@pytest.mark.parametrize("path", ["/api/runs/nope", "/api/runs/nope/events", "/api/runs/' OR 1=1 --"])
def test_a_run_that_is_not_there_is_404_with_a_sentence(beside: Beside, path: str) -> None:
    with beside.client() as client:
        answer = client.get(path)
    assert 404 == answer.status_code
    assert answer.json()["error"].startswith("No event of run ")


@pytest.mark.stack
def test_a_command_from_the_api_stands_and_says_who_gave_it(beside: Beside) -> None:
    with beside.client() as client:
        answer = client.post("/api/control", json={"scope": "agent:a1", "mode": "stop", "why": " loops ", "for": "10m"})
    assert 201 == answer.status_code, answer.text
    given = answer.json()
    assert ("agent:a1", "stop", "loops", "ann (API)") == (given["scope"], given["mode"], given["why"], given["by"])
    assert 600_000 == pytest.approx(given["expires_ms"] - given["ts_ms"], abs=2_000)

    def stands() -> bool:
        return given["control_id"] in [one["control_id"] for one in beside.get("/api/control")["in_force"]["forbidden"]]

    eventually(stands, 5)


@pytest.mark.stack
def test_a_command_from_elsewhere_is_known_within_a_second(beside: Beside) -> None:
    its = beside.filled.settings
    assert beside.get("/api/control")["known"]
    now_ms = int(time.time() * 1000)
    command = Control(uuid7(now_ms), "tool:pay", "disable_writes", now_ms, "elsewhere", "bob", None)
    send({"bootstrap.servers": its.kafka}, its.topic(CONTROL.name), open_registry(its.registry), command)

    def stands() -> bool:
        return "tool:pay" in [one["scope"] for one in beside.get("/api/control")["in_force"]["forbidden"]]

    assert eventually(stands, 5) < 1.0


@pytest.mark.stack
def test_writes_that_wait_are_answered(beside: Beside) -> None:
    (one,) = beside.get("/api/approvals")
    assert ("support", "mail", "b", "r1") == (one["agent"], one["tool"], one["args_sha"], one["run_id"])
    with beside.client() as client:
        answer = client.post("/api/control", json={"scope": one["scope"], "mode": "allow", "why": "asked", "for": "1h"})
    assert 201 == answer.status_code, answer.text
    eventually(lambda: beside.get("/api/approvals") == [], 5)


@pytest.mark.stack
def test_how_many_a_command_touches(beside: Beside) -> None:
    assert {"scope": "agent:support", "runs": 1} == beside.get("/api/control/touched", scope="agent:support")


@pytest.mark.stack
def test_the_audit_as_json(beside: Beside) -> None:
    found = beside.get("/api/audit", kind="refusals")
    assert [("support", "ApprovalRequired", "r1")] == [
        (one["who"], one["what"], one["run_id"]) for one in found["entries"]
    ]


@pytest.mark.stack
@pytest.mark.parametrize(
    ("command", "status", "sentence"),
    [
        ({"scope": "everybody", "mode": "stop", "why": "w"}, 400, "is no scope"),
        ({"scope": "dry:fleet", "mode": "stop", "why": "w"}, 400, "Nobody goes by a dry scope"),
        ({"scope": "fleet", "mode": "stop", "why": "  "}, 400, "Say why"),
        ({"scope": "fleet", "mode": "stop", "why": ""}, 422, "why"),
        ({"scope": "fleet", "mode": "explode", "why": "w"}, 422, "mode"),
        ({"scope": "fleet", "mode": "stop", "why": "w", "for": "soon"}, 400, "for: "),
        ({"scope": "fleet", "mode": "stop", "why": "w", "for": "0s"}, 400, "for"),
        ({"scope": "fleet", "mode": "stop", "why": "w", "by": "root"}, 422, "by"),
        ({"scope": "fleet", "mode": "stop", "why": "w" * 5_000}, 422, "why"),
    ],
)
def test_a_command_that_makes_no_sense_is_not_given(
    beside: Beside, command: dict[str, Any], status: int, sentence: str
) -> None:
    with beside.client() as client:
        answer = client.post("/api/control", json=command)
    assert status == answer.status_code, answer.text
    assert sentence in answer.json()["error"]
    assert "fleet" not in [one["scope"] for one in beside.get("/api/control")["in_force"]["forbidden"]]


@pytest.mark.stack
def test_viewers_give_no_commands(beside: Beside) -> None:
    with beside.client(VIEWER) as client:
        answer = client.post("/api/control", json={"scope": "fleet", "mode": "stop", "why": "w"})
    assert 403 == answer.status_code
    assert "operator" in answer.json()["error"]


# -- beside none -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/runs", "/api/runs/r1", "/api/runs/r1/events", "/api/approvals", "/api/audit"])
def test_a_store_that_is_away_is_503_with_a_sentence(served: Served, path: str) -> None:
    with served.client(authorization=f"Bearer {VIEWER}") as client:
        answer = client.get(path)
    assert 503 == answer.status_code
    assert "ClickHouse" in answer.json()["error"]


def test_a_broker_that_is_away_binds_nobody_and_says_so(served: Served) -> None:
    with served.client(authorization=f"Bearer {OPERATOR}") as client:
        answer = client.post("/api/control", json={"scope": "fleet", "mode": "stop", "why": "w"})
        now = client.get("/api/control").json()
    assert 503 == answer.status_code
    assert "binds nobody" in answer.json()["error"]
    assert (False, []) == (now["known"], now["in_force"]["forbidden"])
    assert "does not answer" in now["trouble"]


# -- the page's address ----------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"agent": "a&b=c"}, {"run_id": "é", "anomalous": "1"}, {"unfinished": "1"}])
def test_a_pages_address_says_what_it_shows(query: dict[str, str]) -> None:
    its = filter_of(query)
    assert query == dict(httpx.URL(address(its)).params)
    assert its == filter_of(dict(httpx.URL(address(its)).params))


def test_an_address_that_makes_no_sense_shows_everything() -> None:
    assert filter_of({}) == filter_of({"anomalous": "yes", "colour": "red", "run_id": "  "})
