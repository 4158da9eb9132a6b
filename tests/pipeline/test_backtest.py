"""A file that is streamed through Kafka and one that is backtested say the same; and so do the stored events."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ..incident import SEEN, incident, slices

pytestmark = pytest.mark.stack

AGENT = "streamed"
MINUTE = 60_000
PACE_S = 0.15
"""So long a minute of the history takes to stream: drift goes by windows that come one after the other."""
OURS = f"startsWith(agent, '{AGENT}')"


@pytest.fixture(scope="module")
def pipeline(own_pipeline: Any) -> Any:
    """Windows of the past are judged live only where nothing later was seen."""
    return own_pipeline


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in incident(AGENT)))
    return path


@pytest.fixture(scope="module")
def streamed(pipeline: Any, file: Path) -> set[tuple[str, str]]:
    """(id, rule) of what was found live."""
    importing = pipeline.start("import", "-", stdin=subprocess.PIPE)
    for some in slices(incident(AGENT), MINUTE):
        importing.stdin.write("".join(json.dumps(one) + "\n" for one in some).encode())
        importing.stdin.flush()
        time.sleep(PACE_S)
    out, err = importing.communicate(timeout=60)
    assert (0, b"") == (importing.returncode, err), out
    pipeline.settled()
    # What was open is over, or the windows until then are judged.
    found: set[tuple[str, str]] = set()
    deadline = time.monotonic() + 60
    while not {rule for _, rule in found} >= SEEN and time.monotonic() < deadline:
        time.sleep(1)
        found = set(pipeline.rows(f"SELECT anomaly_id, rule FROM anomalies WHERE {OURS}"))
    return found


def anomalies(pipeline: Any, *arguments: Any) -> set[tuple[str, str]]:
    done = pipeline.run("backtest", *arguments)
    assert (0, "") == (done.returncode, done.stderr)
    found = map(json.loads, done.stdout.splitlines())
    return {(one["anomaly_id"], one["rule"]) for one in found if one["agent"].startswith(AGENT)}


def test_the_stream_says_what_the_backtest_says(pipeline: Any, file: Path, streamed: set[tuple[str, str]]) -> None:
    assert {rule for _, rule in streamed} >= SEEN
    assert anomalies(pipeline, file) == streamed


def test_so_do_the_stored_events(pipeline: Any, streamed: set[tuple[str, str]]) -> None:
    assert anomalies(pipeline, "--from", "1h") == streamed
    paying = {one for one in streamed if one[1].startswith("fleet.")}
    assert paying <= anomalies(pipeline, "--from", "1h", "--agent", f"{AGENT}-pay")


def test_other_rules_are_compared_over_what_is_stored(pipeline: Any, streamed: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("loops:\n  repeat:\n    enabled: false\n")
    done = pipeline.run("backtest", "--from", "1h", "--agent", AGENT, "--compare", other)
    changes = {(one["change"], one["rule"], one["run_id"]) for one in map(json.loads, done.stdout.splitlines())}
    assert ("gone", "loop.repeat", f"{AGENT}-looping") in changes
    assert {f"{AGENT}-looping"} == {run_id for _, _, run_id in changes}


def test_nothing_came_in_then(pipeline: Any) -> None:
    done = pipeline.run("backtest", "--from", "2020-01-01", "--to", "2020-01-02")
    said = "No event came in between 2020-01-01 00:00:00 and 2020-01-02 00:00:00 UTC.\n"
    assert (2, "", said) == (done.returncode, done.stdout, done.stderr)
