"""An agent of a user's own, through the SDK, to the answers of `show`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.stack

AGENT = """
import runwatch

def search(query):
    if query == "none":
        raise LookupError("a secret")
    return {"found": query}

watch = runwatch.connect(agent="e2e", version="1.4.2", model="gpt-x")
with watch.run("e2e-run", prompt_sha="p" * 24, tools_sha="t" * 24) as run:
    run.model_call(input_tokens=100, output_tokens=20, cost_usd=0.25)
    for query in ("cats", "cats", "cats", "cats", "cats"):
        run.call_tool("search", {"query": query}, search)
    try:
        run.call_tool("search", {"query": "none"}, search)
    except LookupError:
        pass
    answer = run.stop("success", outcome=0.75)
assert answer["status"] == "stopped", answer
assert answer["stop_reason"] == "success", answer
assert watch.close(20.0)
"""


@pytest.fixture(scope="module")
def agent(pipeline: Any) -> None:
    # With nothing but the stack's folder to go by.
    done = subprocess.run(
        [sys.executable, "-c", AGENT], env=pipeline.environ, cwd=pipeline.folder, capture_output=True, timeout=60
    )
    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)
    pipeline.settled()


def test_a_run_is_a_row(pipeline: Any, agent: None) -> None:
    (row,) = json.loads(pipeline.run("runs", "--agent", "e2e", "--format", "json").stdout)
    expected = {
        "run_id": "e2e-run", "agent_version": "1.4.2", "model": "gpt-x", "tool_calls": 6, "tool_errors": 1,
        "input_tokens": 100, "output_tokens": 20, "cost_usd": 0.25, "stop_reason": "success", "outcome": 0.75,
        "missing_events": 0, "anomalies": 1, "anomaly_rules": ["loop.repeat"],
    }  # fmt: skip
    assert expected == {name: row[name] for name in expected}


def test_the_five_questions_are_answered(pipeline: Any, agent: None) -> None:
    (story,) = json.loads(pipeline.run("show", "e2e-run", "--format", "json").stdout)
    calls = story["calls"]
    assert ["search"] * 6 == [call["tool"] for call in calls]
    assert [1, 1, 1, 1, 1, 2] == [len({one["args_sha"] for one in calls[: n + 1]}) for n in range(6)]
    assert 24 == len(calls[0]["args_sha"]) == len(calls[0]["result_sha"])
    assert ["ok"] * 5 + ["error"] == [call["status"] for call in calls]
    assert ("LookupError", None) == (calls[5]["error"], calls[5]["result_sha"])
    (version,) = story["versions"]
    assert ("1.4.2", "gpt-x", "p" * 24, "t" * 24) == tuple(
        version[name] for name in ("agent_version", "model", "prompt_sha", "tools_sha")
    )
    assert ("success", 0.75, 6) == tuple(story["stop"][name] for name in ("stop_reason", "outcome", "tool_calls"))

    told = pipeline.run("show", "e2e-run").stdout
    places = [told.index(text) for text in ("1 to 3  Which tools", "4  Which versions", "5  Why did it stop?")]
    assert sorted(places) == places
    assert "a secret" not in told


def test_the_run_is_told_again_step_by_step(pipeline: Any, agent: None) -> None:
    (told,) = json.loads(pipeline.run("replay", "e2e-run", "--format", "json").stdout)
    calls = [step for step in told["steps"] if step["kind"] == "tool_result"]
    assert [None, 2, 2, 2, 2, None] == [step["again"] for step in calls]
    assert (0, 6, 5) == tuple(told["parts"][name] for name in ("sealed", "args_unknown", "results_unknown"))
    done = pipeline.run("replay", "e2e-run")
    assert (0, "") == (done.returncode, done.stderr)
    assert "error LookupError" in done.stdout
    assert "Of the arguments only the hashes are known." in done.stdout
    assert "a secret" not in done.stdout
    assert 1 == pipeline.run("replay", "no-such-run").returncode


def test_any_question_in_sql(pipeline: Any, agent: None) -> None:
    query = "SELECT tool, count() AS calls FROM events WHERE agent = 'e2e' AND tool != '' GROUP BY tool"
    assert "tool,calls\nsearch,6\n" == pipeline.run("sql", query, "--format", "csv").stdout
    done = pipeline.run("sql", "SELECT nosuch FROM runs")
    assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
    assert done.stderr.startswith("ClickHouse does not take this query: Unknown")
    for ddl in ("CREATE TABLE mine (a Int8) ENGINE = Memory", "INSERT INTO mine VALUES (1)", "DROP TABLE mine"):
        assert 0 == pipeline.run("sql", ddl).returncode
