"""Secrets of receivers: from where they come, and that nobody sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..schemas.errors import RunwatchError

MASK = "***"
MOST_BYTES = 64 << 10
SHORTEST = 6
"""Characters of a piece of an address that may be a secret. Shorter ones are words such as `api` or `v1`."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ReceiverError(RunwatchError):
    """A receiver that cannot be used as it is set; the message says what is missing, and shows no secret."""


def expand(text: str, environ: Mapping[str, str], whose: str) -> str:
    """The text with its `${NAME}`s filled in. Raises `ReceiverError` where one is not set."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not environ.get(name):
            raise ReceiverError(f"The receiver {whose} needs the environment variable {name}, which is not set.")
        return environ[name]

    return _REFERENCE.sub(value, text)


def from_file(path: str, whose: str) -> str:
    """The first line of a file. Raises `ReceiverError`."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MOST_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ReceiverError(f"The receiver {whose} needs the file {path}, which cannot be read: {reason}.") from None
    if not text:
        raise ReceiverError(f"The receiver {whose} needs the file {path}, which is empty.")
    return text.splitlines()[0].strip()


class Masking:
    """Takes secrets out of texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """`secrets`: whole ones, and addresses that hold some."""
        pieces = {piece for secret in secrets for piece in _pieces(secret)}
        # The longest first: one may hold another.
        self._pieces = sorted(pieces, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for piece in self._pieces:
            text = text.replace(piece, MASK)
        return text


def _pieces(secret: str) -> Iterable[str]:
    """The secret, and what of an address may be one: user, password, each step of the path, each value."""
    if not secret:
        return
    yield secret
    try:
        parts = urlsplit(secret)
    except ValueError:
        return
    if not parts.scheme:
        return
    beyond = secret.split("://", 1)[-1]
    host = parts.hostname or ""
    for piece in re.split(r"[/?&=#@:]", beyond):
        for form in (piece, unquote(piece)):
            if len(form) >= SHORTEST and form.lower() != host:
                yield form


def shown_url(url: str) -> str:
    """An address as it may be seen: what it is and where, but not who it is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return MASK
    if parts.scheme in ("http", "https") and host:
        where = f"[{host}]" if ":" in host else host
        rest = "/…" if parts.path.strip("/") or parts.query else ""
        return f"{parts.scheme}://{where}{f':{port}' if port else ''}{rest}"
    # Apprise's addresses have tokens where others have the host.
    return f"{parts.scheme}://…" if parts.scheme and "://" in url else MASK
