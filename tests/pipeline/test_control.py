"""docs/control.md on the real stack: its agent loops, and is stopped; what it says to ask is answered."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.stack


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
