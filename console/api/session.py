"""Routes under /api of who asks."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request

from ..access.roles import Role
from ..context import Context


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks. `until_ms`: when their session ends, milliseconds since the epoch; null for a token."""

    role: Role
    name: str
    until_ms: int | None


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["session"])

    @routes.get("/session", summary="Who asks, and what they may do")
    async def session(request: Request) -> Who:
        found = context.access.session(request)
        if found is None:
            raise HTTPException(401, "Sign in at /login, or send a token of this console.")
        return Who(found.role, found.name, int(found.until_s * 1000) if found.by_cookie else None)

    return routes
