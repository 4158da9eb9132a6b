"""Routes under /api of SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, HTTPException, Response
from fastapi.responses import StreamingResponse

from ..ask.sql import EXPORT_ROWS, ROWS, Result, SqlDesk, Started, View, views
from ..context import Context

_CSV = {"Content-Disposition": 'attachment; filename="runwatch.csv"', "X-Row-Limit": str(EXPORT_ROWS)}


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["sql"])
    desk = context.sql

    @routes.post("/sql", summary="Ask in SQL", response_model=Result, responses={200: {"content": {"text/csv": {}}}})
    async def ask(
        query: Annotated[str, Body(description="One SELECT, WITH, SHOW, DESCRIBE or EXPLAIN, without FORMAT.")],
        limit: Annotated[int, Body(ge=1, le=ROWS, description="Rows at most; CSV has all, up to a million.")] = ROWS,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Any:
        """Asks ClickHouse as a user who can read runwatch's database and nothing else, for 15 seconds at most.

        With `Accept: text/csv` the answer is CSV, as it comes, for a minute and a million rows at most; text that a
        spreadsheet would take for a formula begins with an apostrophe there.
        """
        if "text/csv" in accept.lower():
            export = desk.export(query)
            # What goes wrong before the first of it has a status of its own.
            return csv_of(desk, Started(export, await desk.threaded(export.piece, export.close)))
        return await desk.run(desk.query(query, limit))

    @routes.get("/sql/views", summary="What can be asked")
    async def of_views() -> tuple[View, ...]:
        """The views of runwatch's database, and their columns."""
        return await context.store.ask(views)

    @routes.get("/sql/exports/{ticket}.csv", include_in_schema=False)
    async def export(ticket: str) -> Response:
        """What the page's CSV button leads to."""
        started = desk.tickets.take(ticket)
        if started is None:
            raise HTTPException(404, "This download is over: ask for CSV again on the page.")
        return csv_of(desk, started)

    return routes


def csv_of(desk: SqlDesk, started: Started) -> StreamingResponse:
    """An answer that is written as it is read."""
    export = started.export

    async def pieces() -> AsyncIterator[bytes]:
        piece = started.first
        try:
            while piece is not None:
                yield piece
                piece = await desk.threaded(export.piece, export.close)
        finally:
            export.close()

    return StreamingResponse(pieces(), media_type="text/csv; charset=utf-8", headers=_CSV)
