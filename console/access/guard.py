"""Stands before everything: whoever is not let in meets nothing but the login page.

An ASGI application around the other, and not a dependency of routes: a route that is added is guarded before anyone
thinks of it, and so are websockets, static files and what NiceGUI brings.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import Access
from .headers import with_headers
from .origin import SAFE_METHODS, is_foreign, is_shown_own, single
from .roles import Session

HEALTH: Final = "/health"
LOGIN: Final = "/login"
OPEN: Final = {LOGIN: ("GET", "HEAD", "POST"), "/favicon.ico": ("GET", "HEAD")}
"""What anyone may ask for, and how."""
LEAVE_S: Final = 5.0
"""So long after its end a session's open pages have to lead to the login page; then their connection is cut."""
_POLICY_VIOLATION: Final = 1008


class Guard:
    """Lets a request through to `app`, or answers it."""

    def __init__(self, app: ASGIApp, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._access = access
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "http":
            send = with_headers(send, secure=scope["scheme"] == "https" or self._access.own.secure)
            if scope["path"] == HEALTH:
                await self.app(scope, receive, send)
                return
        headers = single(scope["headers"])
        refusal = _Refusal(400, "A header that may be there once is there twice.")
        if headers is not None:
            found = self._judge(scope, headers)
            if isinstance(found, Session | None):
                scope["headers"] = [one for one in scope["headers"] if one[0] not in _DROPPED]
                if scope["type"] == "websocket" and found is not None:
                    await self._while_it_lasts(scope, receive, send)
                else:
                    await self.app(scope, receive, send)
                return
            refusal = found
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.error[:100]})
        else:
            await refusal.send(send, plain=_shows_pages(scope["path"], headers or {}))

    def _judge(self, scope: Scope, headers: dict[str, str]) -> Session | _Refusal | None:
        """Whose request it is; None for what anyone may ask."""
        access, path = self._access, scope["path"]
        method: str | None = scope["method"] if scope["type"] == "http" else None
        if not access.own.is_called(headers.get("host")):
            return _Refusal(
                421,
                "This console does not go by the name that it was called by. If the name is right, set "
                "RUNWATCH_CONSOLE_URL to the address that people use, or RUNWATCH_CONSOLE_HOSTS to further names.",
            )
        if is_foreign(scope["scheme"], method, headers, access.own):
            return _Refusal(
                403,
                "This request was made by a page of another origin. If that page is this console's own, behind a "
                "proxy, set RUNWATCH_CONSOLE_URL to the address that people use.",
            )
        if method is not None and method in OPEN.get(path, ()):
            return None
        if "authorization" in headers:
            return self._by_token(scope)
        session = access.session(HTTPConnection(scope))
        if session is None:
            return _to_login(scope, headers) if method == "GET" and _shows_pages(path, headers) else _NOT_IN
        if method not in SAFE_METHODS and not is_shown_own(headers):
            return _Refusal(
                403,
                "A request that acts must say where it was made (Origin); browsers do. Scripts send the token: "
                "Authorization: Bearer …",
            )
        return session

    def _by_token(self, scope: Scope) -> Session | _Refusal:
        bearers = self._access.bearers
        address = (scope.get("client") or ("", 0))[0]
        if (wait_s := bearers.wait_s(address)) > 0:
            seconds = math.ceil(wait_s)
            return _Refusal(
                429, f"Too many tokens that are none of this console's: wait {seconds} s.", (("retry-after", seconds),)
            )
        session = self._access.session(HTTPConnection(scope))
        if session is None:
            bearers.failed(address)
            return _Refusal(401, "That is no token of this console.", _CHALLENGE)
        return session

    async def _while_it_lasts(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A connection that stays open does not outlive its session."""
        connection = HTTPConnection(scope)
        ended_at: float | None = None

        def over() -> bool:
            nonlocal ended_at
            if self._access.session(connection) is not None:
                return False
            ended_at = self._clock() if ended_at is None else ended_at
            return self._clock() - ended_at >= LEAVE_S

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and over():
                return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}
            return message

        async def said(message: Message) -> None:
            if message["type"] == "websocket.send" and over():
                message = {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "signed out"}
            await send(message)

        await self.app(scope, heard, said)


class _Refusal:
    """An answer instead of what was asked for."""

    def __init__(self, status: int, error: str, headers: tuple[tuple[str, object], ...] = ()) -> None:
        self.status = status
        self.error = error
        self._headers = headers

    async def send(self, send: Send, *, plain: bool) -> None:
        """`plain`: a person reads it."""
        body = (self.error if plain else json.dumps({"error": self.error}, ensure_ascii=False)).encode()
        headers = [(name.encode(), str(value).encode("latin-1")) for name, value in self._headers]
        headers += [
            (b"content-type", b"text/plain; charset=utf-8" if plain else b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


_CHALLENGE: Final = (("www-authenticate", 'Bearer realm="runwatch"'),)
_NOT_IN: Final = _Refusal(
    401, "Sign in at /login, or send a token of this console: Authorization: Bearer …", _CHALLENGE
)
# NiceGUI would write what it says into the page's addresses; no proxy in front of us puts us under a path.
_DROPPED: Final = frozenset((b"x-forwarded-prefix",))


def _shows_pages(path: str, headers: dict[str, str]) -> bool:
    """Whether a person looks at the answer."""
    if "sec-fetch-mode" in headers:
        return headers["sec-fetch-mode"] == "navigate"
    return "text/html" in headers.get("accept", "") and not path.startswith("/api/")


def _to_login(scope: Scope, headers: dict[str, str]) -> _Refusal:
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = quote(scope["path"], safe="/") + (f"?{query}" if query else "")
    place = LOGIN if wanted == "/" else f"{LOGIN}?next={quote(wanted, safe='/')}"
    return _Refusal(303, f"Sign in at {LOGIN}.", (("location", place),))
