"""What routes of the API need of who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from .access import Access
from .roles import Role, Session


def operator(access: Access) -> Callable[[Request], Awaitable[Session]]:
    """For `Depends`: the session of an operator. Whoever is none is told so, before anything else is looked at."""

    async def needed(request: Request) -> Session:
        session = access.session(request)
        if session is None or not access.may(request, Role.operator):
            raise HTTPException(403, "Viewers look; it takes an operator's token to act.")
        return session

    return needed
