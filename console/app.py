"""The console as one web application: the pages, the API, and who may come in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi_offline import FastAPIOffline
from nicegui import ui
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request

from ..clickhouse import StoreAway, StoreError
from .access.guard import HEALTH, Guard
from .access.headers import Nonces
from .context import Context
from .pages import login

PAGES: Final[Sequence[str]] = ("fleet", "incidents", "incident", "runs", "run", "control", "sql", "lost")
ROUTES: Final[Sequence[str]] = ("session", "fleet", "incidents", "runs", "control", "sql")

_ABOUT: Final = """
Send a token of this console with each request: `Authorization: Bearer …`. Those of viewers may ask; those of
operators may also act. Times are milliseconds since the epoch. What goes wrong is told as `{"error": "a sentence"}`.

    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8090/api/incidents
"""


def build(context: Context) -> FastAPI:
    """The application. Once a process: NiceGUI keeps its pages in a place of its own."""
    app = _application()
    app.add_exception_handler(StoreError, _store_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(Exception, _failed)
    app.add_api_route(HEALTH, _health, include_in_schema=False)
    app.include_router(login.router(context))
    for name in ROUTES:
        routes = import_module(f"..api.{name}", __name__).router(context)
        app.include_router(routes, prefix="/api", dependencies=_declared(context))
    app.add_api_route("/api/{rest:path}", _no_such_route, include_in_schema=False)
    for name in PAGES:
        import_module(f"..pages.{name}", __name__).register(context)
    ui.run_with(
        app,
        title="runwatch",
        language="en-US",
        show_welcome_message=False,
        reconnect_timeout=30,
        gzip_middleware_factory=None,  # it would stand within, and what is compressed takes no nonces
    )
    # The last one is the outermost: nothing is before the guard.
    app.add_middleware(Nonces)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(Guard, access=context.access)
    return app


def _application() -> FastAPI:
    """With a page of the API whose scripts come from here: it works without the network."""
    app: FastAPI = FastAPIOffline(
        docs_url="/api/docs",
        redoc_url=None,
        static_url="/api/docs/static",
        favicon_url="/favicon.ico",
        title="runwatch",
        version=version("runwatch"),
        summary="What the console shows, as JSON",
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        swagger_ui_oauth2_redirect_url="/api/docs/oauth2-redirect",
        swagger_ui_parameters={"defaultModelsExpandDepth": 0, "displayRequestDuration": True, "deepLinking": False},
    )
    return app


def _declared(context: Context) -> list[Any]:
    """How requests say who they are from, for the API's page. The guard has judged it before any of this is asked."""
    bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token of this console.")
    cookie = APIKeyCookie(
        name=context.access.cookie,
        auto_error=False,
        scheme_name="session",
        description="The session of who signed in at /login; it is sent by itself.",
    )
    return [Security(bearer), Security(cookie)]


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _no_such_route(rest: str) -> JSONResponse:
    return JSONResponse({"error": "There is no such route; /api/docs lists those that there are."}, status_code=404)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


async def _misunderstood(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"error": "; ".join(wrong)}, status_code=422)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    # What it was stands in the log, where it is raised again.
    return JSONResponse({"error": "The console failed at this; its log says how."}, status_code=500)


async def _store_error(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=503 if isinstance(error, StoreAway) else 400)
