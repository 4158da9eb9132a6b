"""What the Runs and Run pages show, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from ...sinks.query import Reader
from ..ask.runs import MOST, RunFilter, RunList, runs
from ..ask.steps import Step, steps_of
from ..ask.story import RunStory, story
from ..context import Context

MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Steps:
    """Some of a run's events, in order."""

    run_id: str
    steps: list[Step]
    more: bool
    """Whether there are further ones; ask on with `after_seq`."""


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["runs"])
    missing: dict[int | str, dict[str, Any]] = {404: {"description": "No event of that run is stored."}}

    @routes.get("/runs", summary="The latest runs of a kind")
    async def listed(
        agent: Annotated[str, Query(description="Only this agent.")] = "",
        version: Annotated[str, Query(description="Only this version of agents.")] = "",
        model: Annotated[str, Query(description="Only this model.")] = "",
        stop_reason: Annotated[str, Query(description="Only such as stopped for this reason.")] = "",
        run_id: Annotated[str, Query(description="How the run's id begins.")] = "",
        anomalous: Annotated[bool, Query(description="Only runs in which something was found.")] = False,
        unfinished: Annotated[bool, Query(description="Only runs that have not stopped.")] = False,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
        before_ms: Annotated[
            int | None, Query(ge=0, description="Only runs whose last event was before; to ask on, the last `last_ms`.")
        ] = None,
    ) -> RunList:
        """Newest first, by the time of their last event."""
        its = RunFilter(agent, version, model, stop_reason, run_id, anomalous, unfinished)
        return await context.store.ask(partial(runs, its=its, limit=limit, before_ms=before_ms))

    # Before the other, which would take "/events" for the end of an id: ids may hold anything.
    @routes.get("/runs/{run_id:path}/events", summary="A run's steps", responses=missing)
    async def events(
        run_id: str,
        after_seq: Annotated[int, Query(description="Only steps beyond this one.")] = -1,
        limit: Annotated[int, Query(ge=1, le=MOST_STEPS)] = 1_000,
    ) -> Steps:
        """Which tools, in which order, with which arguments and results, by hash; and what was repeated."""
        steps = await context.store.ask(partial(_steps, run_id=run_id))
        if not steps:
            raise _no_such(run_id)
        beyond = [one for one in steps if one.seq > after_seq]
        return Steps(run_id, beyond[:limit], len(beyond) > limit)

    @routes.get("/runs/{run_id:path}", summary="One run: the five questions", responses=missing)
    async def one(run_id: str) -> RunStory:
        """Its steps, versions, why it stopped, what was found in it, its relatives, and what its agent usually uses."""
        told = await context.store.ask(partial(story, run_id=run_id))
        if told is None:
            raise _no_such(run_id)
        return told

    return routes


def _steps(reader: Reader, run_id: str) -> list[Step]:
    return steps_of(reader.events(run_id))


def _no_such(run_id: str) -> HTTPException:
    return HTTPException(404, f"No event of run {run_id[:200]} is stored; /api/runs lists the latest ones.")
