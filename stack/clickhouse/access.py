"""Who may ask: ClickHouse's ways of naming a user, and no web pages of other origins."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import raised


@dataclass(frozen=True)
class Account:
    """The one user of the server."""

    user: str = "default"
    password: str = ""

    def check(self, headers: Mapping[str, str], params: Mapping[str, str]) -> None:
        """Raise a 403 error unless the request names this user with this password.

        In ClickHouse's order: the X-ClickHouse-User and -Key headers, basic authentication, then the URL's user and
        password. Both are compared in constant time.
        """
        user, password = _credentials(headers, params)
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        same_password = hmac.compare_digest(password.encode(), self.password.encode())
        if not (same_user and same_password):
            raise raised(
                516,
                "AUTHENTICATION_FAILED",
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name",
            )


def _credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> tuple[str, str]:
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise raised(516, "AUTHENTICATION_FAILED", "The Authorization header is not valid base64") from None
        return user, password
    return params.get("user", "default"), params.get("password", "")


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends on behalf of another site's page: on a loopback there is often no password."""
    if headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site"):
        raise raised(497, "ACCESS_DENIED", "Requests from pages of other origins are refused")
