"""Killed in the middle, interrupted by Ctrl-C: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from runwatch.stack import lifecycle

pytestmark = pytest.mark.stack


def renamed(path: Path) -> list[bytes]:
    """The lines of a file of recorded runs, as runs and agents of other names."""
    lines = []
    with gzip.open(path) as file:
        for text in file:
            event = json.loads(text)
            event["run_id"], event["agent"] = f"killed/{event['run_id']}", f"killed/{event['agent']}"
            lines.append(json.dumps(event).encode() + b"\n")
    return lines


def test_kill_9_in_the_middle_of_an_import(
    pipeline: Any, shared_data: Path, tmp_path: Path, until: Callable[..., None]
) -> None:
    lines = renamed(shared_data / "tau2.jsonl.gz") + renamed(shared_data / "sweagent_gpt4.jsonl.gz")
    half = len(lines) // 2
    (tmp_path / "all.jsonl").write_bytes(b"".join(lines))
    # Runs one after the other, in no order of time: what windows show live depends on how fast they come in.
    over_the_file = {
        one["anomaly_id"]
        for one in map(json.loads, pipeline.run("backtest", tmp_path / "all.jsonl").stdout.splitlines())
        if one["rule"].startswith("loop.")
    }
    before = pipeline.services()

    importing = pipeline.start("import", "-", stdin=subprocess.PIPE)
    importing.stdin.write(b"".join(lines[:half]))
    importing.stdin.flush()
    until(lambda: pipeline.one("SELECT count() FROM events WHERE startsWith(agent, 'killed/')") > 0, "some are stored")
    for name in ("sink", "processors"):
        os.kill(before[name]["pid"], signal.SIGKILL)
    out, err = importing.communicate(b"".join(lines[half:]), timeout=60)
    assert (0, b"") == (importing.returncode, err)
    assert out.startswith(f"{len(lines):,} events of ".encode())

    def restarted() -> bool:
        now = pipeline.services()
        return all(
            now[name]["state"] == "running" and now[name]["pid"] != before[name]["pid"]
            for name in ("sink", "processors")
        )

    until(restarted, "both are started again", 30)
    pipeline.settled()
    ours, loops = "startsWith(agent, 'killed/')", "startsWith(rule, 'loop.')"
    assert len(lines) == pipeline.one(f"SELECT count() FROM events WHERE {ours}")
    assert len(lines) == pipeline.one(f"SELECT uniqExact(run_id, seq) FROM events WHERE {ours}")
    found = [one for (one,) in pipeline.rows(f"SELECT anomaly_id FROM anomalies WHERE {ours} AND {loops}")]
    assert len(found) == len(set(found))
    assert over_the_file == set(found)


def test_ctrl_c_during_an_import(pipeline: Any, until: Callable[..., None]) -> None:
    event = {"run_id": "ctrl-c", "kind": "model_result", "ts_ms": 1_772_366_400_000, "agent": "ctrl-c"}
    importing = pipeline.start("import", "-", stdin=subprocess.PIPE)
    importing.stdin.write(json.dumps(event).encode() + b"\n")
    importing.stdin.flush()
    until(lambda: _has_a_thread_of_kafkas(importing.pid), "it has begun")
    importing.send_signal(signal.SIGINT)
    out, err = importing.communicate(timeout=30)
    assert (130, b"", b"Stopped.\n") == (importing.returncode, out, err)


def _has_a_thread_of_kafkas(pid: int) -> bool:
    names = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm")]
    return any(name.startswith("rdk:") for name in names)


def test_ctrl_c_while_following(pipeline: Any) -> None:
    following = pipeline.start("anomalies", "--follow", "--format", "jsonl")
    assert b"Following the anomalies; Ctrl-C ends it.\n" == following.stderr.readline()
    loop = [
        {
            "run_id": "followed", "kind": "tool_result", "ts_ms": 1_772_366_400_000 + step, "agent": "followed",
            "tool": "t", "args": 1, "result": 2, "status": "ok",
        }
        for step in range(6)
    ]  # fmt: skip
    assert 0 == pipeline.run("import", "-", stdin="\n".join(map(json.dumps, loop)).encode()).returncode
    # Drift of what was imported before may be told at any time.
    ours = (one for one in map(json.loads, following.stdout) if one["run_id"] == "followed")
    for state, severity in (("open", "warning"), ("escalated", "critical")):
        found = next(ours)
        assert ("loop.repeat", state, severity) == (found["rule"], found["state"], found["severity"])
    following.send_signal(signal.SIGINT)
    assert [] == list(ours)
    assert (130, b"Stopped.\n") == (following.wait(timeout=30), following.stderr.read())


def test_ctrl_c_during_a_demo_ends_its_stack(pipeline: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = pipeline.environ | {"RUNWATCH_HOME": str(home)}
    demo = pipeline.start("demo", "--once", "--json", env=environ)
    try:
        said = []
        while "quiet minutes" not in " ".join(said):
            line = demo.stderr.readline().decode()
            assert line, said
            said.append(line.strip())
        pids = [one.pid for one in lifecycle.status(home).services]
        assert len(pids) >= 6
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=60)
        assert (130, b"") == (demo.returncode, out)
        assert [b"Stopping the stack.", b"Stopped."] == [line[:19].rstrip() for line in err.splitlines()[-2:]]
        assert not lifecycle.status(home).up
        assert [] == [pid for pid in pids if _runs(pid)]
    finally:
        demo.kill()
        lifecycle.down(home)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
