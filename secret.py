"""A secret: from an environment variable, or from the file that another one names."""

from __future__ import annotations

from pathlib import Path

from .schemas.errors import RunwatchError

MOST_BYTES = 64 << 10


class SecretError(RunwatchError):
    """A secret cannot be had; the message says which and why, and shows none."""


def revealed(name: str, value: str, path: Path | None) -> str:
    """`value`, or the first line of the file `path`; empty where neither is given.

    `name` is the variable's, to which `_FILE` is added for the file's. Raises `SecretError` where both are given, or
    the file cannot be read or begins with an empty line.
    """
    if path is None:
        return value
    if value:
        raise SecretError(f"{name} and {name}_FILE are both set; unset one of them.")
    return first_line(f"{name}_FILE", path)


def first_line(name: str, path: Path) -> str:
    """The first line of a file that the variable `name` names. Raises `SecretError`."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            line = file.read(MOST_BYTES).split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SecretError(f"{name} names {path}, which cannot be read: {reason}.") from None
    if not line.strip():
        raise SecretError(f"{name} names {path}, whose first line is empty.")
    return line
