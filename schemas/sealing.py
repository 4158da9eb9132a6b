"""Snapshots, sealed for whoever holds the private key: neither broker nor database can read them.

A sealed snapshot is a libsodium sealed box (X25519, XSalsa20-Poly1305) around zlib around one line with the
payload's hash and then its redacted JSON. The hash is within as well, so that a box that was put under another
hash is noticed. Needs PyNaCl, which comes with the extra `runwatch[snapshots]`.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from . import keytext
from .errors import RunwatchError

PUBLIC, PRIVATE = "snap-pub-", "snap-key-"
"""What the two keys begin with, so that nobody takes one for the other."""
KEY_BYTES = 32
MOST_OPENED = 16 << 20
"""Bytes of an opened snapshot; a box may hold far more than it looks."""


class WrongKey(RunwatchError):
    """A key that does not do; the message says why, and never what it is."""


class NotOpened(RunwatchError):
    """A sealed snapshot that this key does not open, or that is not what it should be."""


def make_pair() -> tuple[str, str]:
    """A new pair of keys: the public one, for agents, and the private one, for readers."""
    private = _nacl().PrivateKey.generate()
    return keytext.written(PUBLIC, bytes(private.public_key)), keytext.written(PRIVATE, bytes(private))


def read_public(text: str) -> bytes:
    """The bytes of a public key. Raises `WrongKey`."""
    if text.startswith(PRIVATE):
        raise WrongKey(
            f"it is the private key; agents get the public one, which begins with {PUBLIC}. Whoever could read this "
            "setting could read the snapshots: make a new pair with `runwatch snapshots key`."
        )
    return _read(PUBLIC, text, "public key")


def read_private(text: str) -> bytes:
    """The bytes of a private key, a reader's token. Raises `WrongKey`."""
    if text.startswith(PUBLIC):
        raise WrongKey(f"The reader's token is the private key, which begins with {PRIVATE}; this is the public one.")
    return _read(PRIVATE, text, "reader's token")


def key_id(public: bytes) -> str:
    """What a public key is called beside what is sealed for it: 16 hex digits."""
    return hashlib.sha256(public).hexdigest()[:16]


class Sealer:
    """Seals for one public key."""

    def __init__(self, public: str) -> None:
        """Raises `WrongKey`, and `RunwatchError` where PyNaCl is not installed."""
        data = read_public(public)
        self.key_id = key_id(data)
        self._box = _nacl().SealedBox(_nacl().PublicKey(data))

    def seal(self, sha: str, text: str) -> bytes:
        """The payload `text` of that hash, sealed."""
        return bytes(self._box.encrypt(zlib.compress(f"{sha}\n{text}".encode(), 6)))


class Opener:
    """Opens what was sealed for one key."""

    def __init__(self, token: str) -> None:
        """Raises `WrongKey`, and `RunwatchError` where PyNaCl is not installed."""
        private = _nacl().PrivateKey(read_private(token.strip()))
        self.key_id = key_id(bytes(private.public_key))
        self._box = _nacl().SealedBox(private)

    def open(self, sha: str, sealed: bytes) -> str:
        """The payload's redacted JSON. Raises `NotOpened`."""
        try:
            data = self._box.decrypt(sealed)
        except Exception as error:  # PyNaCl's and libsodium's own kinds
            raise NotOpened(f"The snapshot of {sha} was not sealed for this key, or was changed.") from error
        unpack = zlib.decompressobj()
        try:
            text = unpack.decompress(data, MOST_OPENED).decode()
        except (zlib.error, UnicodeDecodeError) as error:
            raise NotOpened(f"The snapshot of {sha} opens, but is none.") from error
        own, _, payload = text.partition("\n")
        if own != sha or unpack.unconsumed_tail:
            raise NotOpened(f"The snapshot of {sha} is another payload's, or too large to be one.")
        return payload


def _read(kind: str, text: str, called: str) -> bytes:
    bare = text.strip()
    wrong = f"a {called} is {kind} and {keytext.letters(KEY_BYTES)} letters and digits"
    if not bare.startswith(kind):
        raise WrongKey(f"{wrong}; `runwatch snapshots key` makes one.")
    data = keytext.read(kind, bare, KEY_BYTES)
    if data is None:
        raise WrongKey(f"{wrong}, and this one is not whole.")
    return data


def _nacl() -> Any:
    try:
        import nacl.public
    except ModuleNotFoundError as error:
        raise RunwatchError(
            "Snapshots are sealed with PyNaCl, which is not installed: pip install 'runwatch[snapshots]'."
        ) from error
    return nacl.public
