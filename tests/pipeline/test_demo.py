"""The demo on a stack that is up: the incident is seen, everything is stored, in little memory."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any

import pytest

from runwatch.stack import lifecycle

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def demo(pipeline: Any) -> dict[str, Any]:
    """What it printed, and the most memory that the stack took meanwhile, in MB."""
    process = pipeline.start(
        "demo", "--once", "--json", "--history", 20, "--minutes", 12, "--speed", 600, stderr=subprocess.DEVNULL
    )
    most = 0.0
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, lifecycle.status(pipeline.home).rss_mb)

    looking = threading.Thread(target=look)
    looking.start()
    began = time.monotonic()
    try:
        out, _ = process.communicate(timeout=150)
    finally:
        process.kill()
        done.set()
        looking.join()
    return {"code": process.returncode, "out": out.decode(), "mb": most, "took": time.monotonic() - began}


def test_it_prints_one_line(demo: dict[str, Any]) -> None:
    assert (0, 1) == (demo["code"], demo["out"].count("\n"))
    summary = json.loads(demo["out"])
    assert {"events", "runs", "anomalies", "incident", "stopped", "seconds"} == set(summary)
    assert {"sent", "stored"} == set(summary["events"])
    assert summary["events"]["sent"] == summary["events"]["stored"] > 30_000
    assert summary["runs"] > 1_000
    assert 0 < summary["seconds"] <= demo["took"]


def test_it_sees_the_incident(demo: dict[str, Any]) -> None:
    summary = json.loads(demo["out"])
    onset, seen = summary["incident"]["onset_ms"], summary["incident"]["seen"]
    assert {"loop.failing", "drift.tool_calls_per_run", "drift.latency_p95"} <= set(seen)
    assert all(onset <= at <= onset + 12 * 60_000 for at in seen.values())
    known = {one["rule"] for one in summary["anomalies"]}
    assert set(seen) <= known
    assert not [one for one in summary["anomalies"] if one["rule"].startswith("drift.") and one["ts_ms"] < onset]


def test_what_is_stopped_is_reckoned(demo: dict[str, Any]) -> None:
    """At this speed a stop is a minute late by the fleet's clock: whether one comes in time is chance."""
    stopped = json.loads(demo["out"])["stopped"]
    assert 0 <= stopped["runs"] <= stopped["looping_runs"] > 10
    assert stopped["calls"] <= stopped["calls_without"] < stopped["incident_calls_without"]
    assert stopped["cost_usd"] <= stopped["cost_usd_without"] < stopped["incident_cost_usd_without"]


def test_its_stack_is_small(pipeline: Any, demo: dict[str, Any]) -> None:
    assert 0 < demo["mb"] < 2048
    services = pipeline.services()
    assert 0 < sum(one["rss_mb"] for one in services.values()) < 2048


def test_what_it_says_to_ask_next_works(pipeline: Any, demo: dict[str, Any]) -> None:
    summary = json.loads(demo["out"])
    looping = next(one["run_id"] for one in summary["anomalies"] if one["run_id"])
    for arguments in (("anomalies", "--open"), ("show", looping), ("runs", "--anomalous"), ("control", "--history")):
        done = pipeline.run(*arguments)
        assert 0 == done.returncode
        assert done.stdout
