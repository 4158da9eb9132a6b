"""The way in and out: /login and /logout. One plain form, which works by keyboard and with password managers.

Its only script posts the token that the address printed at the first start has behind its `#`.
"""

from __future__ import annotations

import math
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from ..access.headers import login_policy
from ..access.origin import local_path
from ..context import Context
from ..widgets.theme import CSS, THEME_COOKIE

MOST_BYTES: Final = 16 << 10
_TEMPLATE: Final = Environment(
    autoescape=True, loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True
).get_template("login.html")


def router(context: Context) -> APIRouter:
    """The routes."""
    routes = APIRouter(include_in_schema=False)
    access = context.access

    @routes.get("/login")
    async def show(request: Request) -> Response:
        return _page(context, request, local_path(request.query_params.get("next")))

    @routes.post("/login")
    async def sign_in(request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return _page(context, request, "/", wrong="That is too much for a form.", status=413)
        person = form.get("person", "")
        onward = local_path(form.get("next"))
        address = request.client.host if request.client else ""
        wait_s = access.attempts.wait_s(address)
        if wait_s > 0:
            seconds = math.ceil(wait_s)
            answer = _page(
                context, request, onward, person, f"Too many tokens that do not fit: wait {seconds} s.", status=429
            )
            answer.headers["Retry-After"] = str(seconds)
            return answer
        found = access.sign_in(form.get("token", ""), person)
        if found is None:
            access.attempts.failed(address)
            return _page(context, request, onward, person, "That is no token of this console.", status=401)
        value, _ = found
        onwards = RedirectResponse(onward, status_code=303)
        onwards.set_cookie(
            access.cookie,
            value,
            max_age=int(access.lasts_s),
            path="/",
            httponly=True,
            samesite="strict",
            secure=_is_secure(context, request),
        )
        return onwards

    @routes.post("/logout")
    async def sign_out(request: Request) -> Response:
        session = access.session(request)
        if session is not None:
            access.sign_out(session)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(
            access.cookie, path="/", httponly=True, samesite="strict", secure=_is_secure(context, request)
        )
        return answer

    return routes


def _is_secure(context: Context, request: Request) -> bool:
    return context.access.own.secure or request.url.scheme == "https"


async def _form(request: Request) -> dict[str, str] | None:
    """The first value of each field; None where there is more than a form has."""
    body = bytearray()
    async for piece in request.stream():
        body.extend(piece)
        if len(body) > MOST_BYTES:
            return None
    try:
        found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return None
    return {name: values[0] for name, values in found.items()}


def _page(
    context: Context, request: Request, onward: str, person: str = "", wrong: str = "", status: int = 200
) -> HTMLResponse:
    """The form; or for who is signed in already, the way on."""
    nonce = secrets.token_urlsafe(18)
    signed_in = not wrong and context.access.session(request) is not None
    theme = request.cookies.get(THEME_COOKIE, "")
    body = _TEMPLATE.render(
        nonce=nonce,
        theme=CSS.read_text(encoding="utf-8"),
        theme_name=theme if theme in ("dark", "light") else "",
        dark=theme == "dark",
        next=onward,
        # Taken at once, unless the address holds a token.
        onward=onward if signed_in else _again(request, onward),
        signed_in=signed_in,
        person=person[:100],
        wrong=wrong,
        given=context.access.tokens_are_given,
        has_tokens=context.access.has_tokens,
    )
    return HTMLResponse(body, status, {"Content-Security-Policy": login_policy(nonce), "Cache-Control": "no-store"})


def _again(request: Request, onward: str) -> str:
    """Where a browser came by a link in a mail or a chat it keeps our cookie back, which is for requests from here.

    Asked again, from here, it sends it: who is signed in does not sign in for each link.
    """
    site = request.headers.get("sec-fetch-site")
    if request.method != "GET" or site != "cross-site" or "again" in request.query_params:
        return ""
    return f"/login?next={quote(onward, safe='/')}&again=1"
