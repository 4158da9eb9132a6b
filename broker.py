"""How Kafka's brokers are reached: where they are, and what they ask of who connects.

Every client of ours begins with `Access.client`. Nothing but the standard library, since agents use it too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .schemas.errors import RunwatchError
from .secret import revealed

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
PASSWORDS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""Mechanisms that take a user and a password."""
OAUTH = "OAUTHBEARER"
MECHANISMS = (*PASSWORDS, OAUTH)
_OF_TLS = ("ca_file", "cert_file", "key_file", "key_password", "key_password_file")
_OF_SASL = (
    *("mechanism", "user", "password", "password_file", "oauth_url", "oauth_client", "oauth_secret"),
    *("oauth_secret_file", "oauth_scope", "oauth_extensions", "oauth_ca_file"),
)


class AccessError(RunwatchError):
    """The settings by which brokers are reached contradict one another, or lack something; shows no secret."""


@dataclass(frozen=True, slots=True)
class Access:
    """An address, and what is shown there. Each other field is `RUNWATCH_KAFKA_` and its name; empty is unset."""

    bootstrap: str
    """host:port, comma-separated."""
    security: str = ""
    """One of `PROTOCOLS`; empty: SASL_SSL where a user or an OAuth address is set, SSL where certificates are."""
    ca_file: str = ""
    """Certificates (PEM) that vouch for the brokers'; empty: those that the system trusts."""
    cert_file: str = ""
    """This client's certificate (PEM), where brokers ask for one."""
    key_file: str = ""
    """That certificate's private key (PEM)."""
    key_password: str = field(default="", repr=False)
    key_password_file: str = ""
    mechanism: str = ""
    """One of `MECHANISMS`; empty: OAUTHBEARER where an OAuth address is set, else SCRAM-SHA-512."""
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    oauth_url: str = ""
    """Where the token server gives tokens for client credentials."""
    oauth_client: str = ""
    """The client's id there."""
    oauth_secret: str = field(default="", repr=False)
    oauth_secret_file: str = ""
    oauth_scope: str = ""
    oauth_extensions: str = ""
    """NAME=VALUE, comma-separated, that go to the broker with each token."""
    oauth_ca_file: str = ""
    """Certificates (PEM) that vouch for the token server's; empty: those that the system trusts."""

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is; of one that is `resolved`."""
        return self.security.endswith("SSL")

    @property
    def is_named(self) -> bool:
        """Whether a user or a token is shown; of one that is `resolved`."""
        return self.security.startswith("SASL")

    def resolved(self) -> Access:
        """The same with `security` and `mechanism` filled in and the secrets in their places.

        Raises `AccessError`, and `SecretError` where a secret's file cannot be read.
        """
        security = self._security()
        mechanism = self._mechanism() if security.startswith("SASL") else ""
        self._check_files()
        found = replace(
            self,
            security=security,
            mechanism=mechanism,
            key_password=_revealed(self, "key_password"),
            password=_revealed(self, "password"),
            oauth_secret=_revealed(self, "oauth_secret"),
            key_password_file="",  # nosec B106  # read by now
            password_file="",
            oauth_secret_file="",
        )
        found._check_whole()
        return found

    def client(self, **more: Any) -> dict[str, Any]:
        """librdkafka's settings of any client; `more` wins. Raises as `resolved` does."""
        its = self.resolved()
        config: dict[str, Any] = {"bootstrap.servers": its.bootstrap, "security.protocol": its.security}
        if its.is_encrypted:
            config |= {
                "ssl.ca.location": its.ca_file,
                "ssl.certificate.location": its.cert_file,
                "ssl.key.location": its.key_file or its.cert_file,
                "ssl.key.password": its.key_password,
            }
        if its.mechanism in PASSWORDS:
            config |= {"sasl.username": its.user, "sasl.password": its.password}
        elif its.mechanism == OAUTH:
            config |= {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": its.oauth_url,
                "sasl.oauthbearer.client.id": its.oauth_client,
                "sasl.oauthbearer.client.secret": its.oauth_secret,
                "sasl.oauthbearer.scope": its.oauth_scope,
                "sasl.oauthbearer.extensions": its.oauth_extensions,
                "https.ca.location": its.oauth_ca_file,
            }
        if its.mechanism:
            config["sasl.mechanism"] = its.mechanism
        return {name: value for name, value in config.items() if value} | more

    # -- what is wrong with it ---------------------------------------------------------------------

    def _security(self) -> str:
        if self.security:
            said = self.security.upper()
            if said not in PROTOCOLS:
                raise AccessError(
                    f"{_name('security')} is {self.security!r}, and is to be one of {_listed(PROTOCOLS)}."
                )
            self._check_used(said)
            return said
        if any(getattr(self, one) for one in _OF_SASL):
            # A password never goes out unencrypted unless that was said.
            return "SASL_SSL"
        return "SSL" if any(getattr(self, one) for one in _OF_TLS) else "PLAINTEXT"

    def _check_used(self, security: str) -> None:
        """Raises where something is set that would not be shown, or not be looked at: somebody counts on it."""
        encrypted, named = security.endswith("SSL"), security.startswith("SASL")
        for one in (*(() if encrypted else _OF_TLS), *(() if named else _OF_SASL)):
            if getattr(self, one):
                raise AccessError(
                    f"{_name('security')} is {security}, with which {_name(one)} has no effect; set one of them right."
                )

    def _mechanism(self) -> str:
        said = self.mechanism.upper() or (OAUTH if self.oauth_url else "SCRAM-SHA-512")
        if said not in MECHANISMS:
            raise AccessError(f"{_name('mechanism')} is {self.mechanism!r}, and is to be one of {_listed(MECHANISMS)}.")
        return said

    def _check_files(self) -> None:
        """librdkafka would name neither the setting nor the reason, and Faust not even the file."""
        for one in ("ca_file", "cert_file", "key_file", "oauth_ca_file"):
            path = getattr(self, one)
            if not path:
                continue
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise AccessError(f"{_name(one)} names {path}, which cannot be read: {error.strerror}.") from None

    def _check_whole(self) -> None:
        needed: tuple[str, ...] = ()
        if self.mechanism in PASSWORDS:
            needed = ("user", "password")
        elif self.mechanism == OAUTH:
            needed = ("oauth_url", "oauth_client", "oauth_secret")
        for one in needed:
            if not getattr(self, one):
                also = " (or its _FILE)" if one in ("password", "oauth_secret") else ""
                raise AccessError(f"{self.mechanism} to Kafka needs {_name(one)}{also}, which is not set.")
        if self.key_file and not self.cert_file:
            raise AccessError(
                f"{_name('key_file')} is set without {_name('cert_file')}, the certificate that it is of."
            )


NAMES = tuple(one.name for one in fields(Access) if one.name != "bootstrap")
"""The fields that have an environment variable each, which is `variable` of it."""


def variable(name: str) -> str:
    """The environment variable of a field."""
    return f"RUNWATCH_KAFKA_{name.upper()}"


def from_environ(bootstrap: str, environ: Mapping[str, str] | None = None) -> Access:
    """What the environment says of the brokers at `bootstrap`."""
    environ = os.environ if environ is None else environ
    return Access(bootstrap, **{name: environ.get(variable(name), "") for name in NAMES})


def unset() -> dict[str, str]:
    """Environment variables by which a process that is started sees none of ours: the local stack asks for nothing."""
    return {variable(name): "" for name in NAMES}


def is_refusal(error: Any) -> bool:
    """Whether a `KafkaError` says that the broker does not let us in, or we do not trust it: waiting does not help."""
    from confluent_kafka import KafkaError

    code = error.code()
    # A certificate that is missing is missed only after the handshake, and then looks like a broken connection.
    return code in (KafkaError._AUTHENTICATION, KafkaError._SSL) or (
        code == KafkaError._TRANSPORT and "SSL routines" in str(error.str())
    )


_name = variable


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _revealed(access: Access, name: str) -> str:
    path = getattr(access, f"{name}_file")
    return revealed(variable(name), getattr(access, name), Path(path) if path else None)
