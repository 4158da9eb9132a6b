"""Who a request is from: by the cookie of a session, or by the token itself."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.requests import HTTPConnection

from ...config import Settings
from . import tokens
from .attempts import Attempts
from .origin import Own
from .roles import Role, Session, person_named
from .tokens import Known

log = logging.getLogger(__name__)

NAME_HEADER: Final = "x-runwatch-name"
"""Who uses a token with the API may say who they are, for the audit."""
_BEARER: Final = "bearer "
_LONGEST_TOKEN: Final = 1_000


class Access:
    """Lets people in, and tells at each request who it is from. For one thread, the event loop's."""

    def __init__(
        self,
        settings: Settings,
        host: str = "127.0.0.1",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`host`: what the console listens on. Raises `TokenError` and `ValueError` where settings do not do."""
        self.own = Own.of(host, settings.console_url, settings.console_hosts)
        self.attempts = Attempts(monotonic)
        """At the login page."""
        self.bearers = Attempts(monotonic)
        """Of tokens that came with requests; apart, so that a script with an old token keeps nobody from signing in."""
        self._settings = settings
        self._clock = clock
        self._lasts_s = settings.console_session_hours * 3600
        self._ended: dict[str, float] = {}
        self._own_key = b""
        self._given = tokens.given(settings)
        self._version: object = None
        self._known = self._read()

    @property
    def cookie(self) -> str:
        """The cookie's name: of this console alone, since cookies do not tell the ports of a machine apart."""
        self._look()
        return "runwatch_session_" + hashlib.sha256(b"name" + self._known.key).hexdigest()[:8]

    @property
    def lasts_s(self) -> float:
        """For how long a session lasts."""
        return self._lasts_s

    @property
    def tokens_are_given(self) -> bool:
        """Whether the tokens come from the environment, and not from those that were made here."""
        return bool(self._given)

    @property
    def has_tokens(self) -> bool:
        """Whether anybody can come in at all."""
        self._look()
        return bool(self._known.hashes)

    def session(self, request: HTTPConnection) -> Session | None:
        """Who sends this request; None where that is not known, or no longer holds."""
        said = request.headers.get("authorization")
        if said is not None:
            return self._by_token(said, request.headers.get(NAME_HEADER, ""))
        value = request.cookies.get(self.cookie)
        return self._opened(value) if value else None

    def may(self, request: HTTPConnection, needed: Role) -> bool:
        """Whether they may do what takes `needed`, now."""
        session = self.session(request)
        return session is not None and session.role.covers(needed)

    def sign_in(self, token: str, person: str) -> tuple[str, Session] | None:
        """A cookie's value, and the session it stands for; None where the token is none of ours."""
        self._look()
        role = self._known.role_of(token.strip()) if len(token) <= _LONGEST_TOKEN else None
        if role is None:
            return None
        called = person_named(person)
        until_s = self._clock() + self._lasts_s
        session = Session(role, _named(called, "console"), called, secrets.token_urlsafe(12), until_s)
        said = [session.id, role.value, called, self._known.generation, int(until_s)]
        return str(self._sealed().dumps(said)), session

    def sign_out(self, session: Session) -> None:
        """Ends a session: its cookie, wherever it is kept, no longer holds."""
        if not session.by_cookie:
            return
        now_s = self._clock()
        self._ended = {one: until for one, until in self._ended.items() if until > now_s}
        self._ended[session.id] = session.until_s
        stored = tokens.stored(self._settings.home)
        with contextlib.suppress(OSError):  # where it cannot be written it holds for as long as this process runs
            ended = {**stored.ended, **self._ended}
            tokens.write(self._settings.home, replace(stored, key=self._known.key, ended=ended), now_s)

    # -- parts -------------------------------------------------------------------------------------

    def _by_token(self, said: str, person: str) -> Session | None:
        if not said.lower().startswith(_BEARER) or len(said) > _LONGEST_TOKEN:
            return None
        self._look()
        role = self._known.role_of(said[len(_BEARER) :].strip())
        if role is None:
            return None
        called = person_named(person)
        return Session(role, _named(called, "API"), called)

    def _opened(self, value: str) -> Session | None:
        try:
            said: Any = self._sealed().loads(value)
        except BadSignature:
            return None
        one, role, called, generation, until_s = said  # ours, as it is signed
        if generation != self._known.generation or until_s <= self._clock():
            return None
        if one in self._ended or one in self._known.ended:
            return None
        return Session(Role(role), _named(called, "console"), called, one, until_s)

    def _sealed(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self._known.key, salt="runwatch console session 1", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def _look(self) -> None:
        """New tokens may have been made meanwhile by another process."""
        if tokens.changed(self._settings.home) != self._version:
            self._known = self._read()

    def _read(self) -> Known:
        home = self._settings.home
        found = tokens.stored(home)
        if self._given:
            found = replace(found, hashes=self._given)
        if not found.key:
            found = replace(found, key=self._own_key or tokens.new_key())
            try:
                tokens.write(home, replace(tokens.stored(home), key=found.key))
            except OSError:
                if not self._own_key:
                    log.warning(
                        "the folder %s cannot be written: who signs in signs in again once the console starts anew",
                        home,
                    )
        self._own_key = found.key
        self._version = tokens.changed(home)
        return found


def _named(person: str, way: str) -> str:
    """What the audit says: the person, and how they came."""
    return f"{person} ({way})" if person else way
