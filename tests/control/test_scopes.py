"""Scopes: what is one, and what a text that is none is told."""

from __future__ import annotations

import pytest

from runwatch.control.scopes import (
    FLEET,
    Scope,
    ScopeError,
    agent_scope,
    alerts_scope,
    approval_scope,
    dry_scope,
    parse,
    run_scope,
    tool_scope,
    version_scope,
)


@pytest.mark.parametrize(
    ("scope", "text", "binds"),
    [
        (Scope("fleet", ""), FLEET, True),
        (Scope("agent", "support"), agent_scope("support"), True),
        (Scope("agent", "a:b@c"), agent_scope("a:b@c"), True),
        (Scope("version", "support@1.4.2"), version_scope("support", "1.4.2"), True),
        (Scope("version", "s@x@1.4.2"), version_scope("s@x", "1.4.2"), True),
        (Scope("tool", "http.get"), tool_scope("http.get"), True),
        (Scope("run", "r1"), run_scope("r1"), True),
        (Scope("approval", "0a1b"), approval_scope("0a1b"), False),
        (Scope("alerts", "loop.*@support"), alerts_scope("loop.*", "support"), False),
        (Scope("alerts", "loop.*@*"), alerts_scope("loop.*"), False),
        (Scope("dry", "run:r1"), dry_scope(run_scope("r1")), False),
    ],
)
def test_a_scope_is_taken_apart(scope: Scope, text: str, binds: bool) -> None:
    assert scope == parse(text)
    assert binds == parse(text).binds_agents


@pytest.mark.parametrize(
    "text",
    ["", "Fleet", "fleet:", "agent", "agent:", "version:support", "version:@1", "version:support@", "alerts:loop.*",
     "dry:", "dry:everyone", "everyone", "run :1", "tool:" + "x" * 10_000],
)  # fmt: skip
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ScopeError):
        parse(text)


def test_a_text_that_is_no_scope_is_told_what_one_looks_like() -> None:
    with pytest.raises(ScopeError, match="'everyone' is no scope; one is `fleet`, `agent:NAME`"):
        parse("everyone")
