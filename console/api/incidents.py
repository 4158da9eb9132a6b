"""What the Incidents pages show, as JSON."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from ...sinks.query import Reader
from ..ask.incident import Incident, incident
from ..ask.incidents import (
    MOST_LINES,
    Counts,
    IncidentLine,
    Incidents,
    Order,
    Severity,
    Wanted,
    count_open,
    incidents,
    line_of,
    members,
    single,
)
from ..context import Context


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["incidents"])

    @routes.get("/incidents", summary="Incidents: open ones first, loops of an agent together")
    async def listed(
        agent: Annotated[str | None, Query(description="Only this agent's; `*` for those of several.")] = None,
        tool: Annotated[str | None, Query(description="Only in this tool.")] = None,
        rule: Annotated[str | None, Query(description="A rule, or a pattern such as `loop.*`.")] = None,
        severity: Annotated[Severity | None, Query(description="At least so bad.")] = None,
        is_open: Annotated[bool | None, Query(description="Only such as still go on, or only such as do not.")] = None,
        since_ms: Annotated[int | None, Query(ge=0, description="Open, or active after this: epoch ms.")] = None,
        until_ms: Annotated[int | None, Query(ge=0, description="Begun before this: epoch ms.")] = None,
        order: Annotated[Order, Query(description="Within the open ones, and within the others.")] = "worst",
        limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 50,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> Incidents:
        """Loops of the same agent in the same tool, one soon after the other, are one line; its `anomaly_id` is that
        of the worst and newest of them, and `/api/incidents/{anomaly_id}/like` has them all."""
        wanted = Wanted(agent, tool, rule, severity, is_open, since_ms, until_ms)
        return await context.store.ask(partial(incidents, wanted=wanted, order=order, limit=limit, offset=offset))

    @routes.get("/incidents/open", summary="How many incidents are open")
    async def counted() -> Counts:
        """Lines of the list, not episodes."""
        return await context.store.ask(count_open)

    @routes.get("/incidents/{anomaly_id}", summary="One incident, whole")
    async def whole(anomaly_id: str) -> Incident:
        """Its states, the evidence around its onset, what changed, what was done, and the runs it is in."""
        found = await context.store.ask(partial(incident, anomaly_id=anomaly_id, now_ms=int(time.time() * 1000)))
        if found is None:
            raise _unknown(anomaly_id)
        return found

    @routes.get("/incidents/{anomaly_id}/like", summary="Loops that stand in one line with this one")
    async def like(anomaly_id: str) -> list[IncidentLine]:
        """The single loops of the line that this one is in, those under way first; of anything else, itself."""

        def question(reader: Reader) -> list[IncidentLine] | None:
            line = single(reader, anomaly_id)
            if line is None:
                return None
            return members(reader, line_of(reader, line)) if line.rule.startswith("loop.") else [line]

        found = await context.store.ask(question)
        if found is None:
            raise _unknown(anomaly_id)
        return found

    return routes


def _unknown(anomaly_id: str) -> HTTPException:
    return HTTPException(404, f"No incident {anomaly_id[:100]!r} is stored; `/api/incidents` lists them.")
