"""What is shown in place of a page: where there is none, and where one failed."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from nicegui import Client, app, ui
from nicegui.page import page

from ..context import Context
from ..widgets.frame import frame
from ..widgets.plain import shown


def register(context: Context) -> None:
    """Takes the place of NiceGUI's own pages, which show what an exception says."""

    @app.exception_handler(404)
    async def lost(request: Request, _: Exception) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"error": "There is nothing here."}, status_code=404)
        with Client(page(""), request=request) as client, frame(context, "Not found", ""):
            _tell("There is no such page", f"{shown(request.url.path)} leads nowhere.")
        return client.build_response(request, 404)

    @app.on_page_exception
    def failed(_: Exception) -> None:
        with frame(context, "Failed", ""):
            _tell("This page failed", "The console's log says how: runwatch logs console.")


def _tell(title: str, sentence: str) -> None:
    with ui.column().classes("rw-card w-full gap-2").props("data-testid=lost"):
        ui.label(title).classes("rw-title")
        ui.label(sentence).classes("text-sm")
        ui.link("To the fleet", "/").style("color: var(--rw-accent)")
