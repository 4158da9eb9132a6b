"""The command line in this process, and a ClickHouse that answers as it is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runwatch.cli import app
from runwatch.sinks.query import Story, Table


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in where no stack is up, and no settings in the environment."""
    for name in [name for name in os.environ if name.startswith("RUNWATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(home: Path) -> Callable[..., Said]:
    """`cli("runs", "-n", "5", stdin=b"…", RUNWATCH_…=…)`; an exception that no sentence stands for is raised."""

    def call(*arguments: str | Path, stdin: bytes = b"", **environ: str) -> Said:
        done = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin, env=environ)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    return call


RUN = {
    "run_id": "run-1", "parent_run_id": None, "agent": "support", "agent_version": "1.4", "model": "m",
    "prompt_sha": None, "tools_sha": None, "started_at": datetime(2026, 3, 1, 12, 0, 1, 250_000, UTC),
    "stopped_at": datetime(2026, 3, 1, 12, 0, 4, 0, UTC), "last_event_at": datetime(2026, 3, 1, 12, 0, 4, 0, UTC),
    "duration_ms": 2750, "steps": 3, "model_calls": 0, "tool_calls": 3, "tool_errors": 1, "retries": 1,
    "input_tokens": 120, "output_tokens": None, "cost_usd": 0.0125, "stop_reason": "loop_detected", "outcome": 0.5,
    "missing_events": 0, "anomalies": 1, "anomaly_rules": ["loop.repeat"],
}  # fmt: skip

ANOMALY = {
    "anomaly_id": "a1", "rule": "loop.repeat", "state": "open", "severity": "critical", "ts_ms": 1_772_366_404_000,
    "agent": "support", "run_id": "run-1", "step_id": "s3", "tool": "http.get", "value": 4.0, "baseline": None,
    "message": "http.get was called 4 times.", "onset": datetime(2026, 3, 1, 12, 0, 2, 0, UTC),
    "opened": datetime(2026, 3, 1, 12, 0, 3, 500_000, UTC), "agent_version": None, "model": None, "period": 1,
    "seqs": [1, 2, 3], "detected_at": None, "ingested_at": datetime(2026, 3, 1, 12, 0, 5, 0, UTC),
}  # fmt: skip


def call_row(seq: int, **given: Any) -> dict[str, Any]:
    """A tool call as `show` reads it."""
    return {
        "seq": seq, "kind": "tool_result", "step_id": f"s{seq}", "tool": "http.get", "args_sha": "a" * 24,
        "result_sha": "b" * 24, "duration_ms": 10, "status": "ok", "error": None, "attempt": 1, "http_status": None,
        **given,
    }  # fmt: skip


def version_row(seq: int, **given: Any) -> dict[str, Any]:
    fields = ("agent", "agent_version", "model", "prompt_sha", "tools_sha")
    return {"seq": seq, **dict.fromkeys(fields), "agent": "support", **given}


def story(**given: Any) -> Story:
    """A run's story; by default three calls of which two are the same, stopped."""
    calls = [call_row(1), call_row(2, args_sha="c" * 24, status="error", error="HTTPError", attempt=2), call_row(3)]
    told: dict[str, Any] = {
        "run": RUN, "events": calls, "calls": calls, "versions": [version_row(0, agent_version="1.4", model="m")],
        "stop": {"kind": "stop", "stop_reason": "loop_detected"}, "anomalies": [ANOMALY],
    }  # fmt: skip
    return Story(**{**told, **given})


@dataclass
class FakeReader:
    """ClickHouse's boundary: gives what it was given, and remembers what it was asked."""

    runs_: list[dict[str, Any]] = field(default_factory=lambda: [RUN])
    anomalies_: list[dict[str, Any]] = field(default_factory=lambda: [ANOMALY])
    stories: dict[str, Story] = field(default_factory=lambda: {"run-1": story()})
    table: Table = field(default_factory=lambda: Table(("n",), [(1,)]))
    trouble: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def runs(self, limit: int, **which: Any) -> list[dict[str, Any]]:
        self.asked.append({"limit": limit, **which})
        return self.runs_

    def anomalies(self, limit: int, **which: Any) -> list[dict[str, Any]]:
        self.asked.append({"limit": limit, **which})
        return self.anomalies_

    def show(self, run_id: str) -> Story | None:
        return self.stories.get(run_id)

    def sql(self, query: str) -> Table:
        self.asked.append({"query": query})
        if self.trouble:
            raise self.trouble
        return self.table


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> FakeReader:
    fake = FakeReader()
    for place in ("ask", "show"):
        monkeypatch.setattr(f"runwatch.commands.{place}.open_reader", lambda _: fake)
    return fake


@pytest.fixture(scope="session")
def tell_story() -> Callable[..., Story]:
    return story


@pytest.fixture(scope="session")
def a_call() -> Callable[..., dict[str, Any]]:
    return call_row


@pytest.fixture(scope="session")
def a_version() -> Callable[..., dict[str, Any]]:
    return version_row


NASTY = "[red]\x1b[31m<b>\r\x07[/red]"
"""Markup, a colour, HTML, a return to the line's start and a bell."""


@pytest.fixture(scope="session")
def nasty() -> str:
    return NASTY
