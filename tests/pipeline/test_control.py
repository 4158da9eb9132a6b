"""docs/control.md on the real stack: its agent loops, and is stopped; what it says to ask is answered.

And the policy, from events to the audit: the store knows why a run was told to stop.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.stack

START_MS = 1_772_366_400_000


@pytest.fixture(scope="module")
def pipeline(own_pipeline: Any) -> Any:
    """Nobody else's stops use up what the policy may stop in an hour."""
    return own_pipeline


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "control.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sentence(pipeline: Any, page: str) -> str:
    """The last line of what the page's first agent ends with."""
    agent = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", agent], env=pipeline.environ, cwd=pipeline.folder, capture_output=True, timeout=120
    )
    assert 1 == done.returncode
    pipeline.settled()
    return done.stderr.decode().strip().splitlines()[-1]


def test_the_first_agent_is_stopped_as_it_says(sentence: str, page: str) -> None:
    told = " ".join(re.findall(r"```\n(runwatch\.producers.*?)\n```", page, re.DOTALL)[0].split())
    # A call more or less, by how long the way back takes.
    pattern = re.escape(told).replace("01a20888\\-…", r"[0-9a-f-]{36}").replace("5\\ times", r"\d\ times")
    assert re.fullmatch(pattern.replace("1\\ to\\ 5", r"1\ to\ \d"), sentence)


def test_what_happened_is_on_record(sentence: str, pipeline: Any) -> None:
    run_id = sentence.split()[2]
    scope = f"run:{run_id}"
    standing = json.loads(pipeline.run("control", "--scope", scope, "--format", "json").stdout)
    assert [(scope, "stop", "policy:loop.repeat")] == [(one["scope"], one["mode"], one["by"]) for one in standing]
    audit = json.loads(pipeline.run("control", "--history", "--scope", scope, "--format", "json").stdout)
    assert [("refusal", "RunStopped"), ("command", "stop")] == [(one["entry"], one["what"]) for one in audit]
    assert "loop_detected" in pipeline.run("show", run_id).stdout
    calls = pipeline.one("SELECT tool_calls FROM runs WHERE run_id = {run:String}", run=run_id)
    assert 4 <= calls < 50


def test_its_queries_are_answered(sentence: str, pipeline: Any, page: str) -> None:
    queries = re.findall(r'^runwatch sql "(.*?)"$', page, re.MULTILINE)
    assert 3 == len(queries)
    for query in queries:
        assert pipeline.rows(query)


def lines(run: str, args: str) -> list[str]:
    """A run of 20 calls; with the arguments `same`, they are all the same."""
    steps = [{"kind": "tool_result", "tool": "search", "args": args.format(at), "result": "none"} for at in range(20)]
    base = {"run_id": run, "agent": "policed"}
    return [json.dumps({**base, **one, "ts_ms": START_MS + 1000 * at}) for at, one in enumerate(steps)]


def test_a_loop_is_stopped_and_the_store_says_why(pipeline: Any) -> None:
    events = "\n".join([*lines("policed-bad", "same"), *lines("policed-good", "{}")]) + "\n"
    done = pipeline.run("import", "-", stdin=events.encode())
    assert 0 == done.returncode, done.stderr
    pipeline.settled()
    rows = pipeline.rows(
        "SELECT c.scope, c.mode, c.by, c.why = a.message, a.severity, "
        "toUnixTimestamp64Milli(c.expires_at) - c.ts_ms "
        "FROM control_log AS c JOIN anomalies AS a ON a.anomaly_id = c.anomaly_id "
        "WHERE a.agent = 'policed' AND a.severity = 'critical'"
    )
    assert [("run:policed-bad", "stop", "policy:loop.repeat", 1, "critical", 3_600_000)] == rows
    audited = pipeline.rows("SELECT who, what, run_id FROM audit WHERE scope LIKE 'run:policed-%'")
    assert [("policy:loop.repeat", "stop", "policed-bad")] == audited
