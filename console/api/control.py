"""What the Control page shows, as JSON; and commands to agents."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from ...control.read import MOST_TEXT
from ...control.scopes import ScopeError, parse
from ...control.send import ControlError
from ...schemas.controls import Control, Mode
from ...schemas.registry import RegistryError
from ...settings.section import parse_duration
from ...sinks.query import Reader
from ..access.needs import operator
from ..access.roles import Session
from ..ask.audit import MOST, Audit, AuditFilter, Kind, audit
from ..ask.control import InForce, WaitingWrite, in_force, runs_touched, writes_waiting
from ..context import Context

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Switch:
    """The state of the kill switch."""

    in_force: InForce
    known: bool
    """Whether the control topic was read to its end: else there may be more."""
    trouble: str | None
    """What is wrong with the broker, if something is: then this is how it last was."""


@dataclass(frozen=True, slots=True)
class Touched:
    """How many runs a command would bind now."""

    scope: str
    runs: int


class Command(BaseModel):
    """A command to agents."""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(
        description="`fleet`, `agent:NAME`, `version:NAME@VERSION`, `tool:NAME` or `run:ID`; `approval:ID` answers a "
        "write that waits, `alerts:RULE@AGENT` silences alerts."
    )
    mode: Mode = Field(description="What is allowed: everything, reads only, nothing.")
    why: str = Field(min_length=1, max_length=MOST_TEXT, description="The reason, for the audit and for agents.")
    lasting: str | None = Field(
        default=None, alias="for", description="How long, such as 90s, 10m or 1.5h; else until something else is said."
    )


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["control"])
    an_operator = Depends(operator(context.access))

    @routes.get("/control", summary="What agents may not do now")
    async def switch() -> Switch:
        """Commands in force, the widest scope first; silences, and what the policy only would have done."""
        commander = context.commander
        return Switch(in_force(commander.state, _now_ms()), commander.loaded, commander.trouble())

    @routes.get("/control/touched", summary="How many runs a command would bind now")
    async def touched(scope: Annotated[str, Query(description="As `POST /api/control` has it.")]) -> Touched:
        """Runs of the scope that have not stopped, and did something in the last minutes."""
        _check(scope)
        return Touched(scope, await context.store.ask(partial(runs_touched, scope=scope, now_ms=_now_ms())))

    @routes.post(
        "/control",
        status_code=201,
        summary="Give a command",
        responses={403: {"description": "It takes an operator."}, 503: {"description": "Nobody is bound."}},
    )
    async def give(command: Command, session: Session = an_operator) -> Control:
        """Agents obey before their next call. Answers once the broker has it."""
        _check(command.scope)
        if parse(command.scope).kind == "dry":
            raise HTTPException(400, "Nobody goes by a dry scope: it is the policy's alone.")
        if not command.why.strip():
            raise HTTPException(400, "Say why: it is kept in the audit.")
        expires_ms = None if command.lasting is None else _now_ms() + _duration_ms(command.lasting)
        try:
            return await context.commander.give(
                command.scope, command.mode, command.why.strip(), session.name, expires_ms
            )
        except (ControlError, RegistryError) as error:
            raise HTTPException(503, str(error)) from error

    @routes.get("/approvals", summary="Writes that wait for a person")
    async def approvals() -> list[WaitingWrite]:
        """Oldest first. `POST /api/control` with their `scope` answers them: `allow` or `stop`."""
        calls = await context.store.ask(Reader.unapproved)
        return writes_waiting(calls, context.commander.state, _now_ms())

    @routes.get("/audit", summary="Who said what to whom, and what agents refused because of it")
    async def log(
        kind: Annotated[Kind, Query(description="Whose commands, or which.")] = "all",
        find: Annotated[str, Query(description="Part of a name, a scope or a reason.")] = "",
        from_ms: Annotated[int | None, Query(ge=0, description="Epoch milliseconds; else a day ago.")] = None,
        to_ms: Annotated[
            int | None, Query(ge=0, description="Only before; to ask on, the last one's `at_ms`. Else now.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    ) -> Audit:
        """Newest first."""
        # Clocks of agents may be ahead of ours.
        end_ms = _now_ms() + DAY_MS if to_ms is None else to_ms
        begin_ms = _now_ms() - DAY_MS if from_ms is None else from_ms
        question = partial(audit, its=AuditFilter(kind, find), from_ms=begin_ms, to_ms=end_ms, limit=limit)
        return await context.store.ask(question)

    return routes


def _check(scope: str) -> None:
    try:
        parse(scope)
    except ScopeError as error:
        raise HTTPException(400, str(error)) from error


def _duration_ms(text: str) -> int:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise HTTPException(400, f"for: {error}.") from error
    if not isinstance(found, int) or found <= 0:
        raise HTTPException(400, "for is to be longer than nothing.")
    return found


def _now_ms() -> int:
    return int(time.time() * 1000)
