"""What the Fleet page shows, as JSON."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query

from ..ask.fleet import (
    MEASURES,
    AgentRow,
    Choices,
    Dimension,
    Filter,
    FleetSeries,
    Line,
    Span,
    agents,
    choices,
    fleet_by,
)
from ..ask.trailing import fleet_with_usual
from ..context import Context

SpanName = Literal["15m", "1h", "6h", "24h", "7d", "30d"]
_Span = Annotated[SpanName, Query(description="The last so much time; left aside where `from_ms` is given.")]
_From = Annotated[int | None, Query(ge=0, description="Epoch milliseconds; the span begins here.")]
_To = Annotated[int | None, Query(ge=0, description="Epoch milliseconds; the span ends before this. Else now.")]
_Agent = Annotated[str | None, Query(description="Only this agent.")]
_Version = Annotated[str | None, Query(description="Only this version of agents.")]
_Model = Annotated[str | None, Query(description="Only this model.")]
_Tool = Annotated[str | None, Query(description="Only this tool: figures of its calls, not of runs.")]


def _asked_for(
    span: _Span = "1h",
    from_ms: _From = None,
    to_ms: _To = None,
    agent: _Agent = None,
    version: _Version = None,
    model: _Model = None,
    tool: _Tool = None,
) -> tuple[Span, Filter]:
    return _span(span, from_ms, to_ms), Filter(agent, version, model, tool)


_Asked = Annotated[tuple[Span, Filter], Depends(_asked_for)]
"""The span and the part of the fleet that a route is asked about."""


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["fleet"])

    @routes.get("/fleet", summary="The fleet, or a part of it, over time")
    async def fleet(asked: _Asked) -> FleetSeries:
        """Runs, tool calls, tokens (all a minute), spend (USD a minute), calls a run, latencies (ms), and shares of
        retries, errors and successes, in steps of `step_ms`; how runs stopped; what is usual at that hour."""
        question = partial(fleet_with_usual, span=asked[0], only=asked[1])
        return await context.store.ask(question)

    @routes.get("/fleet/by", summary="One line of the fleet, by agent, version, model or tool")
    async def by(
        metric: Annotated[str, Query(description=f"One of {', '.join(MEASURES)}.")],
        dimension: Annotated[Dimension, Query(description="What it is split by.")],
        asked: _Asked,
        top: Annotated[int, Query(ge=1, le=50, description="How many lines, the biggest first.")] = 8,
    ) -> list[Line]:
        """Values in the steps of `/api/fleet` of the same span. Empty where the metric is not a tool's."""
        if metric not in MEASURES:
            raise HTTPException(400, f"There is no metric {metric!r}; there are {', '.join(MEASURES)}.")
        question = partial(
            fleet_by,
            span=asked[0],
            only=asked[1],
            dimension=dimension,
            metric=metric,
            top=top,
        )
        return await context.store.ask(question)

    @routes.get("/agents", summary="Agents, those in most trouble first")
    async def of_agents(asked: _Asked) -> list[AgentRow]:
        """A row an agent that did anything within the span, or has an open incident."""
        question = partial(agents, span=asked[0], only=asked[1])
        return await context.store.ask(question)

    @routes.get("/fleet/choices", summary="Agents, versions, models and tools that were seen")
    async def of_choices(span: _Span = "24h", from_ms: _From = None, to_ms: _To = None) -> Choices:
        """What there is to filter by, the most used first."""
        return await context.store.ask(partial(choices, span=_span(span, from_ms, to_ms)))

    return routes


def _span(name: SpanName, from_ms: int | None, to_ms: int | None) -> Span:
    """The span that is asked for. Raises `HTTPException` where it has no length."""
    now_ms = int(time.time() * 1000)
    if from_ms is None:
        return Span.last(name, to_ms if to_ms is not None else now_ms)
    span = Span(from_ms, to_ms if to_ms is not None else now_ms)
    if span.length_ms <= 0:
        raise HTTPException(400, "`from_ms` is to be before `to_ms`.")
    return span
