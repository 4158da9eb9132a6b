"""Scopes: whom a command binds.

`fleet`, `agent:NAME`, `version:NAME@VERSION`, `tool:NAME` and `run:ID` bind agents. Three more bind none, and share
the topic for its order, its expiry and its audit: `approval:ID` answers a write that waits for a person,
`alerts:RULE@AGENT` silences alerts, and `dry:SCOPE` is what a policy would have done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ..schemas.errors import RunwatchError
from ..schemas.ids import derived_hex
from ..schemas.json_form import MAX_NAME

FLEET: Final = "fleet"

Kind = Literal["fleet", "agent", "version", "tool", "run", "approval", "alerts", "dry"]
_NAMED = tuple(kind for kind in get_args(Kind) if kind != FLEET)
_IN_TWO = ("version", "alerts")
"""Those whose name is two, with an @ between."""
_BINDING = ("fleet", "agent", "version", "tool", "run")


class ScopeError(RunwatchError):
    """A text that is no scope; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope, taken apart."""

    kind: Kind
    name: str
    """What stands behind the colon; empty for the fleet."""

    @property
    def binds_agents(self) -> bool:
        """Whether agents go by it."""
        return self.kind in _BINDING


def agent_scope(name: str) -> str:
    """All runs of an agent."""
    return f"agent:{name}"


def version_scope(name: str, version: str) -> str:
    """All runs of one version of an agent."""
    return f"version:{name}@{version}"


def tool_scope(name: str) -> str:
    """All calls of a tool, whoever makes them."""
    return f"tool:{name}"


def run_scope(run_id: str) -> str:
    """One run."""
    return f"run:{run_id}"


def approval_id(run_id: str, tool: str, args_sha: str | None) -> str:
    """The id by which a write is approved: the same for whoever knows the call, in the agent and in the events."""
    return derived_hex("approval", run_id, tool, args_sha)


def approval_scope(approval_id: str) -> str:
    """One write that waits to be approved (`allow`) or denied (`stop`)."""
    return f"approval:{approval_id}"


def alerts_scope(rule: str, agent: str = "*") -> str:
    """Alerts of the rules and agents that match the patterns: silenced by `stop`, heard again by `allow`."""
    return f"alerts:{rule}@{agent}"


def dry_scope(scope: str) -> str:
    """What a policy would have done to `scope`. Nobody goes by it; the audit has it."""
    return f"dry:{scope}"


def parse(text: str) -> Scope:
    """The scope that a text is. Raises `ScopeError`."""
    if text == FLEET:
        return Scope("fleet", "")
    kind, colon, name = text.partition(":")
    if kind not in _NAMED or not colon:
        raise ScopeError(
            f"{text!r} is no scope; one is `fleet`, `agent:NAME`, `version:NAME@VERSION`, `tool:NAME` or `run:ID`."
        )
    if not name:
        raise ScopeError(f"{text!r} names nobody: a name is to stand behind the colon.")
    if len(name) > 2 * MAX_NAME + 1:
        raise ScopeError(f"The name in a scope of {len(text):,} characters is too long: names have {MAX_NAME} at most.")
    if kind in _IN_TWO and not all(name.rpartition("@")[::2]):
        parts = "NAME@VERSION" if kind == "version" else "RULE@AGENT"
        raise ScopeError(f"{text!r} is to be {kind}:{parts}.")
    if kind == "dry":
        parse(name)
    return Scope(kind, name)  # type: ignore[arg-type]  # it is one of _NAMED
