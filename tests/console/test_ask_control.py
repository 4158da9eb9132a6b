"""What commands do and touch, what stands, which writes wait, and the audit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from runwatch.console.ask.audit import Audit, AuditFilter, Kind, audit
from runwatch.console.ask.control import Names, effect, in_force, names, runs_touched, writes_waiting
from runwatch.control.scopes import Scope, ScopeError, approval_id, approval_scope, parse
from runwatch.control.state import ControlState
from runwatch.schemas.controls import Control, Mode

from .filled import Filled, event


def state_of(*commands: tuple[str, Mode, int, int | None]) -> ControlState:
    state = ControlState()
    for number, (scope, mode, at_ms, until_ms) in enumerate(commands):
        state.apply(Control(f"c{number}", scope, mode, at_ms, "why", "ann", until_ms))
    return state


@pytest.mark.parametrize(
    ("scope", "mode", "expected"),
    [
        ("fleet", "stop", "Every run of every agent is refused its next call, and ends."),
        ("agent:shop", "stop", "Every run of shop is refused its next call, and ends."),
        ("version:shop@2", "disable_writes", "Every run of shop@2 may read, and is refused its next write."),
        ("tool:pay", "stop", "Every call of pay is refused, whoever makes it."),
        ("run:r1", "allow", "Run r1 is allowed to go on, as far as nothing wider forbids it."),
        ("approval:5d", "stop", "This one write is denied."),
        ("alerts:loop.*@shop", "stop", "Alerts of loop.*@shop are silenced."),
    ],
)
def test_what_a_command_does_is_a_sentence(scope: str, mode: Mode, expected: str) -> None:
    its = parse(scope)
    assert expected == effect(its, mode, its.name)


@pytest.mark.parametrize("kind", ["fleet", "agent", "version", "tool", "run", "approval", "alerts", "dry"])
@pytest.mark.parametrize("mode", ["allow", "disable_writes", "stop"])
def test_every_command_has_a_sentence(kind: Any, mode: Mode) -> None:
    told = effect(Scope(kind, "n"), mode, "n")
    assert (True, ".") == (told[0].isupper(), told[-1])


def test_what_stands_is_told_by_whom_it_binds_the_widest_first() -> None:
    state = state_of(
        ("run:r1", "stop", 5, None),
        ("agent:b", "disable_writes", 4, 1_000),
        ("agent:a", "stop", 3, None),
        ("fleet", "stop", 2, 50),
        ("tool:pay", "stop", 1, None),
        ("agent:c", "allow", 6, None),
        ("alerts:loop.*@*", "stop", 7, None),
        ("alerts:drift.*@*", "allow", 7, None),
        ("dry:run:r2", "stop", 8, None),
        ("approval:5d", "allow", 9, None),
    )
    now = in_force(state, 49)
    assert ["fleet", "agent:b", "agent:a", "tool:pay", "run:r1"] == [one.scope for one in now.forbidden]
    assert ["agent:c"] == [one.scope for one in now.allowed]
    assert ["alerts:loop.*@*"] == [one.scope for one in now.silences]
    assert ["dry:run:r2"] == [one.scope for one in now.dry]
    # What has ended does not stand.
    assert "fleet" not in [one.scope for one in in_force(state, 50).forbidden]


def test_writes_that_were_answered_do_not_wait() -> None:
    since = datetime.fromtimestamp(7, UTC)
    calls = [
        {"run_id": "r", "agent": "clerk", "tool": "mail", "args_sha": digest, "since": since} for digest in ("a", "b")
    ]
    answered = approval_scope(approval_id("r", "mail", "a"))
    waiting = writes_waiting(calls, state_of((answered, "stop", 1, 100)), 50)
    assert [("b", 7_000, approval_scope(approval_id("r", "mail", "b")))] == [
        (one.args_sha, one.since_ms, one.scope) for one in waiting
    ]
    # The answer has ended: it waits again.
    assert 2 == len(writes_waiting(calls, state_of((answered, "stop", 1, 100)), 100))


# -- as ClickHouse answers it ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(stack: Any) -> Iterator[Filled]:
    made = Filled(stack.unique())
    two = {"agent_version": "2"}
    lately = int(time.time() * 1000) - 1_000
    made.events(
        event("going", 0, "run_start", **two),
        event("going", 1, tool="pay", **two),
        event("going", 2, tool="pay", event_id="same", status="error", error="ApprovalRequired", args_sha="a",
              stop_reason="approval_required", ts_ms=lately, **two),
        event("other", 0, "run_start", agent="o'brien\"; DROP TABLE runs", agent_version="2", ts_ms=lately),
        event("ended", 0, "run_start", **two),
        event("ended", 1, tool="pay", **two),
        event("ended", 2, "stop", stop_reason="success", **two),
    )  # fmt: skip
    made.command("c1", "agent:support", "stop", 1_000)
    made.command("c2", "run:going", "stop", 2_000, by="policy:loop.repeat", anomaly_id="a1", expires_ms=9_000)
    made.command("c3", "dry:run:ended", "stop", 3_000, by="policy:loop.repeat")
    made.command("c4", "approval:5d", "allow", 4_000)
    made.command("c5", "alerts:loop.*@*", "stop", 5_000)
    yield made
    made.close()


@pytest.mark.stack
@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("fleet", 2),
        ("agent:support", 1),
        ("agent:o'brien\"; DROP TABLE runs", 1),
        ("version:support@2", 1),
        ("version:support@1", 0),
        ("tool:pay", 1),
        ("tool:search", 0),
        ("run:going", 1),
        ("run:ended", 0),
        ("approval:5d", 0),
    ],
)
def test_a_command_touches_runs_that_are_under_way(filled: Filled, scope: str, expected: int) -> None:
    assert expected == runs_touched(filled.reader, scope, int(time.time() * 1000))


@pytest.mark.stack
def test_runs_that_went_quiet_are_not_touched(filled: Filled) -> None:
    assert 0 == runs_touched(filled.reader, "fleet", int(time.time() * 1000) + 3_600_000)


@pytest.mark.stack
def test_a_scope_that_is_none_touches_nothing(filled: Filled) -> None:
    with pytest.raises(ScopeError, match="no scope"):
        runs_touched(filled.reader, "everybody", 0)


@pytest.mark.stack
def test_names_for_a_command(filled: Filled) -> None:
    evil = "o'brien\"; DROP TABLE runs"
    assert Names([evil, "support"], [f"{evil}@2", "support@2"], []) == names(filled.reader)


def _entries(filled: Filled, kind: Kind = "all", text: str = "", limit: int = 50, to_ms: int = 2**42) -> Audit:
    return audit(filled.reader, AuditFilter(kind, text), 0, to_ms, limit)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("all", ["run:going", "alerts:loop.*@*", "approval:5d", "dry:run:ended", "run:going", "agent:support"]),
        ("people", ["alerts:loop.*@*", "approval:5d", "agent:support"]),
        ("policy", ["run:going"]),
        ("refusals", ["run:going"]),
        ("dry", ["dry:run:ended"]),
        ("approvals", ["approval:5d"]),
        ("alerts", ["alerts:loop.*@*"]),
    ],
)
def test_the_audit_by_kind_newest_first(filled: Filled, kind: Kind, expected: list[str]) -> None:
    assert expected == [one.scope for one in _entries(filled, kind).entries]


@pytest.mark.stack
def test_a_refusal_stored_twice_is_one(filled: Filled) -> None:
    error = {"status": "error", "error": "ApprovalRequired", "stop_reason": "approval_required", "args_sha": "a"}
    lately = int(time.time() * 1000) - 1_000
    again = event("going", 2, tool="pay", event_id="same", ts_ms=lately, agent_version="2", **error)
    filled.events(again)
    refused = _entries(filled, "refusals").entries
    assert [("ApprovalRequired", "approval_required", "pay")] == [(one.what, one.why, one.tool) for one in refused]
    assert 1 == len(filled.reader.unapproved())


@pytest.mark.stack
def test_the_audit_is_searched_and_paged(filled: Filled) -> None:
    assert ["run:going"] == [one.scope for one in _entries(filled, "policy", "LOOP.rep").entries]
    assert [] == _entries(filled, "all", "100%' OR '1'='1").entries
    first = _entries(filled, "people", limit=2)
    assert (["alerts:loop.*@*", "approval:5d"], True) == ([one.scope for one in first.entries], first.more)
    second = _entries(filled, "people", limit=2, to_ms=first.entries[-1].at_ms)
    assert (["agent:support"], False) == ([one.scope for one in second.entries], second.more)


@pytest.mark.stack
def test_an_entry_has_what_it_takes_to_follow_it(filled: Filled) -> None:
    (one,) = _entries(filled, "policy").entries
    assert ("command", "policy:loop.repeat", "stop", "since it loops", "going", "a1", 9_000) == (
        one.entry, one.who, one.what, one.why, one.run_id, one.anomaly_id, one.expires_ms,
    )  # fmt: skip
