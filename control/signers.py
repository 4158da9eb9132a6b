"""Whose commands are obeyed: a file of names and public keys, and what is asked of each message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ..schemas.errors import RunwatchError
from .read import BadControl
from .scopes import Kind, ScopeError, parse
from .signing import (
    BadSignature,
    Envelope,
    Signer,
    WrongKey,
    ensure_installed,
    found,
    is_signed_by,
    key_id,
    read_public,
)

FRESH_MS = 300_000
"""So long may pass between a command's signing and its arrival, by the two clocks: an older message that somebody sends
once more is refused."""
MOST_SIGNERS = 1_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_KINDS = frozenset(get_args(Kind))


class SignersError(RunwatchError):
    """The file of signers cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Known:
    """One line of the file."""

    name: str
    public: bytes
    kinds: frozenset[str] = _KINDS
    """Kinds of scopes that this signer may command."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A message that a known signer signed."""

    name: str
    at_ms: int
    """When, by the signer's clock."""
    key_id: bytes


class Signers:
    """The signers of a file, as it stood when it was last read whole."""

    def __init__(self, path: Path) -> None:
        """Raises `SignersError`, and `RunwatchError` where `cryptography` is not installed."""
        ensure_installed()
        self._path = path
        self._mark, self._known = self._read()

    def by_key(self, key: bytes) -> Known | None:
        """Who has the key of that id."""
        return self._known.get(key)

    def verify(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] | None,
        log_ms: int | None,
    ) -> Signed:
        """Who signed a message. `log_ms`: the broker's time of it, if known. Raises `BadControl`.

        Of its reasons `unsigned`, `signature` and `stale` come from here.
        """
        key = key or b""
        try:
            envelope = found(headers)
        except BadSignature as error:
            raise BadControl("signature", str(error)) from None
        if envelope is None:
            raise BadControl("unsigned", "the message is not signed, and only signed commands are obeyed here")
        known = self.by_key(envelope.key_id)
        if known is None:
            raise BadControl("signature", f"it is signed with the key {envelope.key_id.hex()}, which is nobody's here")
        if not is_signed_by(known.public, envelope, topic, key, value):
            raise BadControl("signature", f"the signature is not {known.name}'s: the message was changed or made up")
        _check_fresh(known, envelope, log_ms)
        if not _may(known, key):
            kind = key.partition(b":")[0].decode(errors="replace")
            raise BadControl("signature", f"{known.name} signed it, who may not command a scope of kind {kind}")
        return Signed(known.name, envelope.at_ms, envelope.key_id)

    def reread(self) -> bool:
        """Reads the file again if it has changed; True where that changed who is a signer.

        Raises `SignersError`, and then those of before hold.
        """
        if self._stat() == self._mark:
            return False
        before = self._known
        self._mark, self._known = self._read()
        return before != self._known

    def may(self, key: bytes, scope: str) -> bool:
        """Whether the key of that id is a signer's who may command the scope."""
        known = self.by_key(key)
        return known is not None and _may(known, scope.encode())

    def _stat(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise SignersError(
                f"RUNWATCH_CONTROL_SIGNERS names {self._path}, which cannot be read: {error.strerror}."
            ) from None
        # A file that was put in its place has another inode, be it of the same second and size.
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> tuple[tuple[int, int, int], dict[bytes, Known]]:
        mark = self._stat()
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise SignersError(
                f"RUNWATCH_CONTROL_SIGNERS names {self._path}, which cannot be read: {error.strerror}."
            ) from None
        except UnicodeDecodeError:
            raise SignersError(f"RUNWATCH_CONTROL_SIGNERS names {self._path}, which is no UTF-8 text.") from None
        return mark, parse_signers(text, str(self._path))


def open_signer(key: str, signers: Signers | None, clock: Callable[[], int]) -> Signer | None:
    """What signs with a private key; None where neither a key nor signers are set. `clock`: milliseconds.

    Raises `SignersError` where there are signers and the key is none of theirs: nobody would obey; `WrongKey`.
    """
    if not key:
        if signers is None:
            return None
        raise SignersError(
            "RUNWATCH_CONTROL_SIGNERS is set, so that only signed commands are obeyed, but there is no key to sign "
            "with: set RUNWATCH_CONTROL_KEY_FILE."
        )
    try:
        signer = Signer(key, clock)
    except WrongKey as error:
        raise WrongKey(f"RUNWATCH_CONTROL_KEY does not do: {error}.") from None
    if signers is not None and signers.by_key(signer.key_id) is None:
        raise SignersError(
            f"The key that RUNWATCH_CONTROL_KEY or its file holds ({signer.key_id.hex()}) is none of the signers' in "
            "RUNWATCH_CONTROL_SIGNERS: nobody would obey. Have its public half added there."
        )
    return signer


def parse_signers(text: str, source: str) -> dict[bytes, Known]:
    """The lines `NAME KEY [KINDS]` of a file by the key's id; `source` is its name, for what is told.

    Empty lines and what follows a `#` are nothing. KINDS are kinds of scopes, comma-separated. A name may have several
    keys, so that a new one can be let in before the old one goes. Raises `SignersError`.
    """
    known: dict[bytes, Known] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            one = _signer(words)
        except ValueError as error:
            raise SignersError(f"{source}:{number}: {error}.") from None
        if key_id(one.public) in known:
            raise SignersError(f"{source}:{number}: that key stands in the file already.")
        known[key_id(one.public)] = one
    if not known:
        raise SignersError(f"{source} names no signer: nobody could command. One is a line of a name and a public key.")
    if len(known) > MOST_SIGNERS:
        raise SignersError(f"{source} names {len(known):,} signers; {MOST_SIGNERS:,} are the most.")
    return known


def no_name(name: str) -> str:
    """Why a text is not what a signer is called, in words without an end."""
    return f"{name[:80]!r} is no name: letters, digits and . _ @ -, 64 at the most"


def _signer(words: list[str]) -> Known:
    if len(words) not in (2, 3):
        raise ValueError("a signer is a name, a public key and, where it may not command everything, kinds of scopes")
    name, public, *more = words
    if not NAME.fullmatch(name):
        raise ValueError(no_name(name))
    kinds = frozenset(more[0].split(",")) if more else _KINDS
    if unknown := sorted(kinds - _KINDS):
        raise ValueError(f"{unknown[0][:80]!r} is no kind of scope; there are {', '.join(sorted(_KINDS))}")
    try:
        return Known(name, read_public(public), kinds)
    except WrongKey as error:
        raise ValueError(f"the key of {name} does not do: {error}") from None


def _check_fresh(known: Known, envelope: Envelope, log_ms: int | None) -> None:
    """A replay is as well signed as what it repeats: the broker's time tells them apart, after the window."""
    if log_ms is not None and abs(log_ms - envelope.at_ms) > FRESH_MS:
        apart = abs(log_ms - envelope.at_ms) // 1000
        raise BadControl(
            "stale",
            f"it was signed by {known.name} {apart:,} s {'before' if log_ms > envelope.at_ms else 'after'} it arrived: "
            "it was sent again, or a clock is wrong",
        )


def _may(known: Known, key: bytes) -> bool:
    if known.kinds == _KINDS:
        return True
    try:
        return parse(key.decode()).kind in known.kinds
    except (UnicodeDecodeError, ScopeError):
        return True  # it is no command at all, which is told elsewhere
