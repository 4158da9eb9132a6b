"""Who may ask: ClickHouse's ways of naming a user, and no web pages of other origins."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import raised


@dataclass(frozen=True)
class Account:
    """A user of the server."""

    user: str = "default"
    password: str = field(default="", repr=False)

    def named(self, user: str, password: str) -> bool:
        """Whether this is that user, with that password; both are compared in constant time."""
        same_user = hmac.compare_digest(_bytes(user), self.user.encode())
        same_password = hmac.compare_digest(_bytes(password), self.password.encode())
        return same_user and same_password


@dataclass(frozen=True)
class Accounts:
    """The user who may do everything, and the one who may read a database, where there is one."""

    main: Account = Account()
    reader: Account | None = None

    def __post_init__(self) -> None:
        """Refuse a reader without a password, or of the same name."""
        if self.reader is not None and (not self.reader.password or self.reader.user == self.main.user):
            raise ValueError("the reading user needs a password, and a name of its own")

    def check(self, headers: Mapping[str, str], params: Mapping[str, str]) -> bool:
        """Whether it is the reader; a 403 error unless the request names a user with the right password.

        In ClickHouse's order: the X-ClickHouse-User and -Key headers, basic authentication, then the URL's user and
        password.
        """
        user, password = _credentials(headers, params)
        if self.main.named(user, password):
            return False
        if self.reader is not None and self.reader.named(user, password):
            return True
        shown = _bytes(user).decode("utf-8", "replace")
        raise raised(
            516,
            "AUTHENTICATION_FAILED",
            f"{shown}: Authentication failed: password is incorrect, or there is no user with such name",
        )


def _bytes(text: str) -> bytes:
    """As they came in: what is no UTF-8 in a header stands there as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> tuple[str, str]:
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except ValueError:  # no base64, or what it holds is no text
            raise raised(516, "AUTHENTICATION_FAILED", "The Authorization header is not valid base64") from None
        return user, password
    return params.get("user", "default"), params.get("password", "")


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends on behalf of another site's page: on a loopback there is often no password."""
    if headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site"):
        raise raised(497, "ACCESS_DENIED", "Requests from pages of other origins are refused")
