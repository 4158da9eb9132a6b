"""Headers that tell browsers what pages may do, so that text of agents that became markup could still do nothing.

What NiceGUI takes, and why: its page has scripts within, which are told by a number used once (a nonce); Vue compiles
templates and NiceGUI runs what `ui.run_javascript` sends with eval, hence 'unsafe-eval'; Quasar, ECharts and Tailwind
set styles within, hence 'unsafe-inline' for styles alone. A script or an event handler that got into a page as text has
no nonce, and is not run.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY: Final = (
    "default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
PLAIN: Final = _POLICY.format(scripts="").replace(" ;", ";")
"""For everything that is no page of NiceGUI's: no scripts but those of the console's own files."""

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
_ALL_YEAR: Final = (b"strict-transport-security", b"max-age=31536000")
_CSP: Final = b"content-security-policy"
_SCRIPT: Final = re.compile(rb"<script(?=[\s>])")
_NICEGUI: Final = b"x-nicegui-content"


def page_policy(nonce: str, *, evaluates: bool) -> str:
    """The policy of a page whose scripts have this nonce; pages of NiceGUI's evaluate."""
    return _POLICY.format(scripts=f"'nonce-{nonce}'" + (" 'unsafe-eval'" if evaluates else ""))


def login_policy(nonce: str) -> str:
    """The policy of the login page, which is one file."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def with_headers(send: Send, *, secure: bool) -> Send:
    """Sends with the headers that every answer has; those that the answer has itself stay."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            further = [*_ALWAYS, (_CSP, PLAIN.encode()), *([_ALL_YEAR] if secure else [])]
            if b"cache-control" not in there:
                further.append((b"cache-control", b"no-store"))
            message["headers"] = [*message.get("headers", ()), *(one for one in further if one[0] not in there)]
        await send(message)

    return told


class Nonces:
    """Gives the scripts within pages a nonce, and the pages the policy that asks for it, unless they have their own.

    To stand inside of what compresses. The text of elements is no place for a `<script`: NiceGUI writes `&lt;` there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = bytearray()

        async def told(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _wants_nonces(message):
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            nonce = secrets.token_urlsafe(18)
            whole = _SCRIPT.sub(f'<script nonce="{nonce}"'.encode(), bytes(body))
            policy = page_policy(nonce, evaluates=any(name == _NICEGUI for name, _ in start["headers"]))
            left = [(name, value) for name, value in start["headers"] if name != b"content-length"]
            left += [(b"content-length", str(len(whole)).encode()), (_CSP, policy.encode())]
            await send({**start, "headers": left})
            await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, told)


def _wants_nonces(start: Message) -> bool:
    headers = dict(start.get("headers", ()))
    return _CSP not in headers and headers.get(b"content-type", b"").startswith(b"text/html")
