"""The policy, from events to the audit: a run that loops is told to stop, and the store knows why."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.stack

START_MS = 1_772_366_400_000


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
