"""What Faust shows to brokers that ask for it: certificates, a password, or a token."""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64encode

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials

from ..broker import OAUTH, Access, AccessError

ANSWER_S = 10.0
"""How long the token server may take."""
RENEW_AT = 0.8
"""Of a token's life, after which a connection that is made asks for the next one; as librdkafka does."""


def credentials(access: Access) -> Credentials | None:
    """Faust's `broker_credentials`; None where brokers ask for nothing.

    Raises `AccessError` or `SecretError` where the settings do not go together or a file does not do.
    """
    its = access.resolved()
    context = _context(its) if its.is_encrypted else None
    if its.mechanism == OAUTH:
        return OAuthCredentials(oauth_cb=TokenProvider(its), ssl_context=context)
    if its.is_named:
        return SASLCredentials(username=its.user, password=its.password, ssl_context=context, mechanism=its.mechanism)
    return SSLCredentials(context) if context is not None else None


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """Tokens by OAuth's client credentials (RFC 6749, 4.4); librdkafka gets its own in the same way."""

    def __init__(self, access: Access) -> None:
        """`access` is resolved."""
        self._access = access
        self._context = None
        if access.oauth_url.startswith("https:"):
            self._context = _trusting(access.oauth_ca_file, "RUNWATCH_KAFKA_OAUTH_CA_FILE")
        self._token = ""
        self._renew_at = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """One that still holds for a while. Raises `AccessError` where none is to be had."""
        async with self._asking:
            if time.monotonic() >= self._renew_at:
                self._token, lasting_s = await self._ask()
                self._renew_at = time.monotonic() + RENEW_AT * lasting_s
            return self._token

    def extensions(self) -> dict[str, str]:
        """What goes to the broker with each token."""
        pairs = (one.partition("=") for one in self._access.oauth_extensions.split(",") if one.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}

    async def _ask(self) -> tuple[str, float]:
        its = self._access
        named = f"{its.oauth_client}:{its.oauth_secret}"
        form = {"grant_type": "client_credentials"} | ({"scope": its.oauth_scope} if its.oauth_scope else {})
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
                session.post(
                    its.oauth_url,
                    data=form,
                    headers={"Authorization": f"Basic {b64encode(named.encode()).decode()}"},
                    ssl=self._context or True,
                    # To another place the secret does not go.
                    allow_redirects=False,
                ) as answer,
            ):
                if answer.status != 200:
                    raise AccessError(
                        f"The token server at {its.oauth_url} gives no token to {its.oauth_client} "
                        f"(HTTP {answer.status}); see RUNWATCH_KAFKA_OAUTH_CLIENT and its secret."
                    )
                found = await answer.json(content_type=None)
                return str(found["access_token"]), float(found.get("expires_in", 0.0))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AccessError(
                f"The token server at {its.oauth_url} does not answer ({type(error).__name__}); is it up, and is "
                "RUNWATCH_KAFKA_OAUTH_URL its address?"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise AccessError(f"The token server at {its.oauth_url} answers with no token.") from error


def _context(access: Access) -> ssl.SSLContext:
    context = _trusting(access.ca_file, "RUNWATCH_KAFKA_CA_FILE")
    if access.cert_file:
        try:
            # A function, since with none OpenSSL would ask for the password on the terminal, and wait.
            context.load_cert_chain(access.cert_file, access.key_file or None, lambda: access.key_password)
        except (ssl.SSLError, ValueError) as error:
            raise AccessError(
                f"The certificate {access.cert_file} and its key cannot be used "
                f"({getattr(error, 'reason', None) or 'no password'}); see RUNWATCH_KAFKA_CERT_FILE, "
                "RUNWATCH_KAFKA_KEY_FILE and RUNWATCH_KAFKA_KEY_PASSWORD."
            ) from None
    return context


def _trusting(ca_file: str, name: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError:
        raise AccessError(f"{name} names {ca_file}, which holds no certificate in PEM.") from None
