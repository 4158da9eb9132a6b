"""A connection to ClickHouse, and what its errors mean to us.

Everything that speaks to ClickHouse from here does it through `connect`, and meets only `StoreError`s: each
says in a sentence what is wrong, where, and what to do.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from .config import Settings
from .schemas.errors import RunwatchError
from .secret import SecretError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

# Numbers are from ClickHouse's src/Common/ErrorCodes.cpp.
_MISSING = {60: "table", 81: "database", 16: "column", 10: "column", 47: "column or name", 46: "function"}
_DENIED = {192, 193, 194, 497, 516}
_FULL = {243}
_BUSY = {159, 202, 209, 210, 241, 242, 252, 319, 425, 439, 999, 279}
"""Timeouts, too many queries or parts, memory, read-only replicas, Keeper: what a later try may find gone."""
_BAD_DATA = {
    *(6, 25, 26, 27, 28, 33, 34, 36, 38, 41, 53, 62, 69, 70, 72, 117, 121, 128, 131, 190, 246, 321, 349, 441),
    *(469, 636, 691, 1001),
}
"""Parse errors, values out of range, `VIOLATED_CONSTRAINT` (469); 1001 is how the Avro library's own surface."""
_CODE = re.compile(r"\bCode: (\d+)")
_NETWORK = re.compile(r"\[Errno -?\d+\] ([\w ]+)|((?:read )?timed out)", re.IGNORECASE)
_UNTRUSTED = re.compile(r"\[SSL(?:: \w+)?\] ([^(\[]+)")


# Both tell of every failed attempt, with tracebacks; a `StoreError` tells it once and in words.
for _name in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class StoreError(RunwatchError):
    """ClickHouse could not do it. `code` is ClickHouse's own number, None where there is none."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class StoreAway(StoreError):
    """It did not answer, or cannot now: the same request may succeed later."""


class StoreRefused(StoreError):
    """It refused the data or the query itself: the same request never will succeed."""


class StoreMissing(StoreError):
    """The database, a table, a column or a function is not there."""


class StoreDenied(StoreError):
    """Wrong user or password, or too few rights."""


def connect(settings: Settings, *, timeout_s: float = 300.0, **client_settings: Any) -> Client:
    """A client of the ClickHouse in `settings`, for one thread at a time.

    `timeout_s` bounds one request. Further arguments are ClickHouse settings that hold for its every
    request. Raises `StoreAway` or `StoreDenied`.
    """
    place = urlsplit(settings.clickhouse)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise StoreDenied(
            "ClickHouse's address is http://HOST:PORT or https://HOST:PORT, and this is not; set RUNWATCH_CLICKHOUSE"
        )
    if place.username is not None or place.password is not None:
        # An address is shown in logs and errors.
        raise StoreDenied(
            "ClickHouse's address holds a user or a password; take them out of RUNWATCH_CLICKHOUSE, and set "
            "RUNWATCH_CLICKHOUSE_USER and RUNWATCH_CLICKHOUSE_PASSWORD (or its _FILE)"
        )
    password = known(settings.clickhouse_secret)
    encryption = _encryption(settings, password) if place.scheme == "https" else {}
    with told(settings):
        return clickhouse_connect.get_client(
            interface=place.scheme,
            host=place.hostname,
            port=place.port or (8443 if place.scheme == "https" else 8123),
            username=settings.clickhouse_user,
            password=password,
            connect_timeout=5,
            send_receive_timeout=timeout_s,
            # A session would forbid two requests at a time, and nothing here needs one.
            autogenerate_session_id=False,
            settings=client_settings,
            **encryption,
        )


def known(secret: Callable[[], str]) -> str:
    """A secret, such as `settings.clickhouse_secret`. Raises `StoreDenied` where it cannot be had."""
    try:
        return secret()
    except SecretError as error:
        raise StoreDenied(str(error)) from None


def tls_context(settings: Settings) -> ssl.SSLContext:
    """The same encryption for who speaks to ClickHouse by other means. Raises `StoreDenied`."""
    its = _encryption(settings, "")
    context = ssl.create_default_context(cafile=its.get("ca_cert"))
    if "client_cert" in its:
        context.load_cert_chain(its["client_cert"], its.get("client_cert_key"))
    return context


def _encryption(settings: Settings, password: str) -> dict[str, Any]:
    """clickhouse-connect's arguments of an https address. Raises `StoreDenied` where a file does not do."""
    files = {
        "ca_cert": ("RUNWATCH_CLICKHOUSE_CA_FILE", settings.clickhouse_ca_file),
        "client_cert": ("RUNWATCH_CLICKHOUSE_CERT_FILE", settings.clickhouse_cert_file),
        "client_cert_key": ("RUNWATCH_CLICKHOUSE_KEY_FILE", settings.clickhouse_key_file),
    }
    its: dict[str, Any] = {}
    for argument, (name, path) in files.items():
        if path is None:
            continue
        try:
            with path.open("rb"):
                its[argument] = str(path)
        except OSError as error:
            raise StoreDenied(f"{name} names {path}, which cannot be read: {error.strerror}.") from None
    try:
        ssl.create_default_context(cafile=its.get("ca_cert"))
    except ssl.SSLError:
        raise StoreDenied(f"{files['ca_cert'][0]} names {its['ca_cert']}, which holds no certificate in PEM.") from None
    if "client_cert" in its:
        # A certificate alone says who we are; beside a password it is shown, and the password says it.
        its["tls_mode"] = "strict" if password else "mutual"
    # Else clickhouse-connect would go by certificates that it brings itself.
    return {"ca_cert": ssl.get_default_verify_paths().cafile, **its}


@contextmanager
def told(settings: Settings) -> Iterator[None]:
    """Turns what clickhouse-connect raises inside into a `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except (ClickHouseError, OSError) as error:
        raise understood(error, settings.clickhouse, settings.database) from error


def understood(error: Exception, address: str, database: str) -> StoreError:
    """The `StoreError` that an exception of clickhouse-connect stands for."""
    text = str(error)
    code = getattr(error, "code", None)
    if code is None and (found := _CODE.search(text)):
        code = int(found[1])
    detail = _first_sentence(text)
    if code is None and (found := _UNTRUSTED.search(text)):
        return StoreDenied(
            f"ClickHouse at {address} and we do not agree on encryption ({found[1].strip()}); see RUNWATCH_CLICKHOUSE "
            "(https?) and RUNWATCH_CLICKHOUSE_CA_FILE, and _CERT_FILE where it asks for a certificate"
        )
    if code is None:
        why = found[1] or found[2] if (found := _NETWORK.search(text)) else detail
        return StoreAway(f"ClickHouse does not answer at {address} ({why}); is it up?")
    if code in _MISSING:
        return StoreMissing(
            f"ClickHouse at {address} lacks a {_MISSING[code]} of database {database} ({detail}); "
            "`runwatch sink` makes what is missing when it starts",
            code,
        )
    if code in _DENIED:
        return StoreDenied(
            f"ClickHouse at {address} does not let this user in, or not do this ({detail}); "
            "see RUNWATCH_CLICKHOUSE_USER and RUNWATCH_CLICKHOUSE_PASSWORD",
            code,
        )
    if code in _FULL or "No space left" in text:
        return StoreAway(f"ClickHouse at {address} has no disk space left ({detail}); make room and it goes on", code)
    if code in _BAD_DATA:
        return StoreRefused(detail, code)
    if code in _BUSY:
        return StoreAway(f"ClickHouse at {address} cannot take this now ({detail})", code)
    return StoreError(f"ClickHouse at {address} answers with an error: {detail}", code)


def _first_sentence(text: str) -> str:
    """ClickHouse's own words without clickhouse-connect's, the version, and a query of any length."""
    text = re.sub(r"\(version [^()]*(?:\([^()]*\))?[^()]*\)|\(for url [^()]*\)", "", text)
    found = re.search(r"DB::Exception: (.*)", text, re.DOTALL)
    text = " ".join((found[1] if found else text).split())
    return text if len(text) <= 400 else text[:397] + "..."
