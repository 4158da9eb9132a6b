"""What goes wrong in many runs at once, through a real broker: one episode, also for a worker that was killed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .fleet import MINUTE, call, failure, start
from .test_worker import KILLED, made, produce, read, wait_for, worker

pytestmark = pytest.mark.stack

RUNS = 40
RULES = """\
fleet:
  quiet: 20s
"""


def incident() -> list[dict[str, Any]]:
    """Runs of three agents, in all partitions, that fail with the same call; two agents that hand to each other."""
    failing = [
        failure(f"run-{number}", minute * MINUTE + 1000 * number, minute, agent=f"agent-{number % 3}", tool="http.get")
        for minute in range(3)
        for number in range(RUNS)
    ]
    handed = [start(f"hand-{number}", f"hand-{number - 1}", 1000 * number, "AB"[number % 2]) for number in range(12)]
    return [*failing, *handed]


def afterwards() -> list[dict[str, Any]]:
    """Half an hour later, all is well."""
    return [call(f"later-{number}", 30 * MINUTE + number, tool="http.get") for number in range(RUNS)]


def test_an_incident_is_one_episode(stack: Any, tmp_path: Path) -> None:
    its, env, log = made(stack, tmp_path)
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    env = env | {"RUNWATCH_RULES": str(rules)}

    def found() -> list[tuple[Any, ...]]:
        # A worker that was killed may have its last words repeated by the next one: the same anomaly twice.
        names = ("anomaly_id", "rule", "state", "severity", "agent", "value")
        told = [one for one in read(its, "anomalies", "anomaly") if one["rule"].startswith("fleet.")]
        return sorted(one[1:] for one in {tuple(one[name] for name in names) for one in told})

    opened = [
        ("fleet.failing", "open", "critical", "*", 40.0),
        ("fleet.handoff", "open", "critical", "*", 12.0),
    ]
    produce(its, incident())
    with worker(env, log) as process:
        wait_for("both episodes", lambda: len(found()) >= 2)
        process.kill()
        assert KILLED == process.wait(10)
    assert opened == found()
    with worker(env, log):
        produce(its, afterwards())
        wait_for("their ends", lambda: len(found()) >= 4)
    ended = [(rule, "resolved", severity, agent, 0.0) for rule, _, severity, agent, _ in opened]
    assert sorted([*opened, *ended]) == found()
    told = [one for one in read(its, "anomalies", "anomaly") if one["rule"].startswith("fleet.")]
    assert 2 == len({one["anomaly_id"] for one in told})
