"""Tokens: how they are made, where they come from, and how one is told from another.

On disk is only the SHA-256 of each. That is enough where a slow hash would be asked for otherwise: a token is 256
random bits, so there is no list of likely ones to try, and the API asks at every request.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...config import Settings
from ...schemas.errors import RunwatchError
from .roles import Role

FILE_NAME: Final = "console.json"
SHORTEST: Final = 20
"""Characters of a token that someone chose."""
MOST_ENDED: Final = 10_000
"""Sessions that are remembered as ended; they are forgotten once they would have ended by themselves."""

_FILE_BYTES: Final = 64 << 10


class TokenError(RunwatchError):
    """Tokens that cannot be used as they are set; the message shows none."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """New tokens in plain text: to be shown once, and kept nowhere."""

    operator: str
    viewer: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the tokens in force."""

    hashes: Mapping[Role, bytes] = field(default_factory=dict)
    key: bytes = b""
    """What sessions are signed with."""
    ended: Mapping[str, float] = field(default_factory=dict)
    """Sessions that were signed out of, and when they would have ended anyway (Unix time, seconds)."""

    @property
    def generation(self) -> str:
        """A word that changes with the tokens, and tells nothing of them."""
        said = b"".join(role.encode() + self.hashes[role] for role in sorted(self.hashes))
        return hmac.new(self.key, said, hashlib.sha256).hexdigest()[:16]

    def role_of(self, token: str) -> Role | None:
        """Whose token it is; takes as long for any."""
        shown = digest(token)
        found = None
        for role, known in self.hashes.items():
            if hmac.compare_digest(shown, known) and (found is None or role.covers(found)):
                found = role
        return found


def digest(token: str) -> bytes:
    """A token's hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def are_set(settings: Settings) -> bool:
    """Whether there are tokens: in the environment, or made before. Raises `TokenError`."""
    return bool(given(settings)) or bool(stored(settings.home).hashes)


def make(home: Path) -> Tokens:
    """New tokens; the old ones, and every session begun with them, hold no longer. Raises `OSError`."""
    tokens = Tokens(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    write(home, Known({Role.operator: digest(tokens.operator), Role.viewer: digest(tokens.viewer)}, new_key()))
    return tokens


def forget(home: Path) -> None:
    """Takes tokens back that nobody has seen."""
    with contextlib.suppress(OSError):
        (home / FILE_NAME).unlink()


def new_key() -> bytes:
    """A key to sign sessions with."""
    return secrets.token_bytes(32)


def write(home: Path, said: Known, clock: float | None = None) -> None:
    """Puts it into the folder, for its owner's eyes; a reader sees the old or the new. Raises `OSError`."""
    now_s = time.time() if clock is None else clock
    ended = {one: until for one, until in said.ended.items() if until > now_s}
    text = json.dumps(
        {
            "note": "Hashes of the console's tokens, and the key of its sessions. `runwatch console --new-tokens`.",
            "hashes": {role.value: one.hex() for role, one in said.hashes.items()},
            "key": said.key.hex(),
            "ended": dict(list(ended.items())[-MOST_ENDED:]),
        },
        indent=1,
    )
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f"{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(home / FILE_NAME)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def changed(home: Path) -> object:
    """Something that is another once the file is another."""
    try:
        found = (home / FILE_NAME).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def stored(home: Path) -> Known:
    """What the folder has; nothing where it has no such file, or one that cannot be read."""
    try:
        value: Any = json.loads((home / FILE_NAME).read_text(encoding="utf-8"))
        return Known(
            {Role(role): bytes.fromhex(one) for role, one in value["hashes"].items()},
            bytes.fromhex(value["key"]),
            {str(one): float(until) for one, until in value["ended"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Known()


def given(settings: Settings) -> Mapping[Role, bytes]:
    """Hashes of the tokens that the environment has. Where it has any, those that were made do not count.

    Raises `TokenError`.
    """
    found: dict[Role, bytes] = {}
    for role in Role:
        token = _token_of(settings, role)
        if token is None:
            continue
        if len(token) < SHORTEST:
            raise TokenError(
                f"RUNWATCH_CONSOLE_{role.upper()}_TOKEN is too short: it must have at least {SHORTEST} characters. "
                "`openssl rand -base64 32` makes a good one."
            )
        found[role] = digest(token)
    if len(set(found.values())) < len(found):
        raise TokenError("The tokens of the console's operators and viewers are the same: give each one of their own.")
    return found


def _token_of(settings: Settings, role: Role) -> str | None:
    said = settings.console_operator_token if role is Role.operator else settings.console_viewer_token
    path = settings.console_operator_token_file if role is Role.operator else settings.console_viewer_token_file
    if said is not None and said.get_secret_value().strip():
        return said.get_secret_value().strip()
    if path is None:
        return None
    name = f"RUNWATCH_CONSOLE_{role.upper()}_TOKEN_FILE"
    try:
        with path.open(encoding="utf-8") as file:
            lines = file.read(_FILE_BYTES).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise TokenError(f"{name} names {path}, which cannot be read: {reason}.") from None
    if not lines[0].strip():
        raise TokenError(f"{name} names {path}, whose first line is empty.")
    return lines[0].strip()
