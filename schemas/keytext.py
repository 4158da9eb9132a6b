"""Keys as people copy them: a word that says which kind it is, then base64 without padding."""

from __future__ import annotations

import base64
import binascii


def written(kind: str, data: bytes) -> str:
    """A key's text."""
    return kind + base64.urlsafe_b64encode(data).decode().rstrip("=")


def letters(count: int) -> int:
    """How many letters and digits stand behind the word, of a key of so many bytes."""
    return len(written("", bytes(count)))


def read(kind: str, text: str, count: int) -> bytes | None:
    """The key in a text that begins with `kind`; None where it is not `count` bytes, whole."""
    try:
        data = base64.b64decode(text[len(kind) :] + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if len(data) == count else None
