"""Runs, recorded through the SDK itself into a list, and records of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

import runwatch
from runwatch.control.guardrails import NO_BUDGETS, Guardrails
from runwatch.playback.record import Content, Record
from runwatch.schemas.canonical import canonical_json, sha
from runwatch.schemas.events import AgentEvent

from ..fakes import FakeSink

Agent = Callable[[Any, Callable[[str], Callable[..., Any]]], None]
"""Does a run's work: is given the run, and a tool's function by its name."""


def recorded(agent: Agent, tool: Callable[[str], Callable[..., Any]]) -> list[AgentEvent]:
    """The events of one run of the agent with these tools."""
    kept = FakeSink()
    watch = runwatch.connect("agent", transport=kept, guardrails=Guardrails(budgets=NO_BUDGETS))
    with watch.run("run-1") as run:
        agent(run, tool)
        run.stop("success")
    assert watch.close(5.0)
    return kept.events


def known(values: Sequence[Any]) -> dict[str, Content]:
    """These payloads as a record has them, by their hashes."""
    return {sha(value): Content(json.loads(canonical_json(value))) for value in values}


@pytest.fixture(scope="session")
def record_run() -> Callable[..., list[AgentEvent]]:
    return recorded


@pytest.fixture(scope="session")
def contents() -> Callable[..., Mapping[str, Content]]:
    return known


@pytest.fixture(scope="session")
def a_call() -> Callable[..., AgentEvent]:
    """A tool call's event; its arguments are told by `args`."""

    def make(seq: int, tool: str = "t", args: Any = None, **fields: Any) -> AgentEvent:
        values = {"status": "ok", "result_sha": sha(seq), "args_sha": sha(args), **fields}
        return AgentEvent(f"e{seq}", "r1", seq, "tool_result", 1_000 + seq, "a", tool=tool, **values)

    return make


@pytest.fixture(scope="session")
def a_record() -> Callable[..., Record]:
    def make(events: Sequence[AgentEvent], values: Sequence[Any] = (), **fields: Any) -> Record:
        return Record("r1", events, known(values), **fields)

    return make
