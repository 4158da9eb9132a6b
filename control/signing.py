"""Signed commands: what is signed, how a signature travels, and the keys as text.

A signature is Ed25519 (RFC 8032) over the topic, the key, the value (or that there is none) and the time of signing,
each with its length, so that no two messages have the same bytes. It travels in one Kafka header beside the message,
whose own bytes stay as they are: who does not look at signatures reads what it always read.

Needs `cryptography`, which comes with the extra `runwatch[signing]`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..schemas import keytext
from ..schemas.errors import RunwatchError

PUBLIC, PRIVATE = "ctl-pub-", "ctl-key-"
"""What the two keys begin with, so that nobody takes one for the other."""
KEY_BYTES = 32
HEADER = "runwatch-signature"
"""The Kafka header; a message has one at the most."""
VERSION = 1
_CONTEXT = b"runwatch control message 1\0"
"""What else a key may sign some day begins otherwise."""
_ENVELOPE = struct.Struct(">B8sQ64s")
_ABSENT = b"\0"
_PRESENT = b"\1"

Headers = list[tuple[str, bytes]]


class WrongKey(RunwatchError):
    """A key that does not do; the message says why, and never what it is."""


class BadSignature(ValueError):
    """Bytes that are no signature's header."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the header holds."""

    key_id: bytes
    """`key_id` of the public key, by which it is found. It is no proof of anything."""
    at_ms: int
    """When it was signed, by the signer's clock."""
    signature: bytes

    def to_bytes(self) -> bytes:
        """The header's value, 81 bytes."""
        return _ENVELOPE.pack(VERSION, self.key_id, self.at_ms, self.signature)

    @classmethod
    def read(cls, data: bytes) -> Envelope:
        """Raises `BadSignature`."""
        if len(data) != _ENVELOPE.size:
            raise BadSignature(f"the signature's header has {len(data)} bytes, not {_ENVELOPE.size}")
        version, key, at_ms, signature = _ENVELOPE.unpack(data)
        if version != VERSION:
            raise BadSignature(f"the signature is of version {version}, and only {VERSION} is known")
        return cls(key, at_ms, signature)


def found(headers: Iterable[tuple[str, bytes | None]] | None) -> Envelope | None:
    """The signature among a message's headers; None where there is none. Raises `BadSignature`."""
    values = [value for name, value in headers or () if name == HEADER]
    if not values:
        return None
    if len(values) > 1 or values[0] is None:
        raise BadSignature("the message has more than one signature, or an empty one")
    return Envelope.read(values[0])


def signed_bytes(topic: str, key: bytes, value: bytes | None, at_ms: int) -> bytes:
    """What is signed of a message."""
    name = topic.encode()
    parts = [_CONTEXT, struct.pack(">Q", at_ms)]
    parts += [struct.pack(">I", len(name)), name, struct.pack(">I", len(key)), key]
    parts += [_ABSENT] if value is None else [_PRESENT, struct.pack(">I", len(value)), value]
    return b"".join(parts)


def key_id(public: bytes) -> bytes:
    """What a public key is called within an envelope."""
    return hashlib.sha256(public).digest()[:8]


class Signer:
    """Signs with one private key, which it never shows."""

    __slots__ = ("_clock", "_key", "key_id", "public")

    def __init__(self, private: str, clock: Callable[[], int]) -> None:
        """`private` as `make_pair` gives it; `clock`: milliseconds. Raises `WrongKey`."""
        self._key = _ed25519().Ed25519PrivateKey.from_private_bytes(read_private(private))
        self._clock = clock
        self.public: bytes = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def headers(self, topic: str, key: bytes, value: bytes | None) -> Headers:
        """The headers of a message that goes out now."""
        at_ms = self._clock()
        signature = self._key.sign(signed_bytes(topic, key, value, at_ms))
        return [(HEADER, Envelope(self.key_id, at_ms, signature).to_bytes())]


def is_signed_by(public: bytes, envelope: Envelope, topic: str, key: bytes, value: bytes | None) -> bool:
    """Whether the holder of that public key's other half signed the message."""
    from cryptography.exceptions import InvalidSignature

    try:
        _ed25519().Ed25519PublicKey.from_public_bytes(public).verify(
            envelope.signature, signed_bytes(topic, key, value, envelope.at_ms)
        )
    except InvalidSignature:
        return False
    return True


# -- keys as text ----------------------------------------------------------------------------------


def make_pair() -> tuple[str, str]:
    """A new pair of keys: the public one, for who obeys, and the private one, for who commands."""
    private = _ed25519().Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return keytext.written(PUBLIC, public), keytext.written(PRIVATE, private.private_bytes_raw())


def read_public(text: str) -> bytes:
    """The bytes of a public key. Raises `WrongKey`."""
    if text.startswith(PRIVATE):
        raise WrongKey(
            f"it is a private key; among the signers stands the public one, which begins with {PUBLIC}. Whoever could "
            "read this file could command: make a new pair with `runwatch control keygen`"
        )
    return _read(PUBLIC, text, "public key")


def read_private(text: str) -> bytes:
    """The bytes of a private key. Raises `WrongKey`."""
    if text.startswith(PUBLIC):
        raise WrongKey(f"it is a public key; the private one begins with {PRIVATE}")
    return _read(PRIVATE, text, "private key")


def _read(kind: str, text: str, called: str) -> bytes:
    bare = text.strip()
    wrong = f"a {called} is {kind} and {keytext.letters(KEY_BYTES)} letters and digits"
    if not bare.startswith(kind):
        raise WrongKey(f"{wrong}; `runwatch control keygen` makes a pair")
    data = keytext.read(kind, bare, KEY_BYTES)
    if data is None:
        raise WrongKey(f"{wrong}, and this one is not whole")
    return data


def ensure_installed() -> None:
    """Raises `RunwatchError` where `cryptography` is not installed."""
    _ed25519()


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise RunwatchError(
            "Commands are signed with `cryptography`, which is not installed: pip install 'runwatch[signing]'."
        ) from error
    return ed25519
