"""The reader's token: the private key that opens snapshots."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ReplayError

VARIABLE = "RUNWATCH_SNAPSHOT_TOKEN"
"""Holds the token, or `@FILE` for a file that does."""


def find_token(given: str | Path | None = None) -> str | None:
    """The token: that of the file `given`, or what the environment has; None for none. Raises `ReplayError`."""
    value = os.environ.get(VARIABLE, "").strip()
    if given is None and not value.startswith("@"):
        return value or None
    path = Path(given) if given is not None else Path(value[1:])
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ReplayError(f"The token cannot be read from {path}: {getattr(error, 'strerror', None) or error}.") from (
            error
        )
