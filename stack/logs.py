"""The services' logs: kept to a size, and read from the end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import StackError
from .home import Home

LIMIT_BYTES = 10 << 20
KEPT = 3


def rotate(path: Path, limit: int = LIMIT_BYTES, kept: int = KEPT) -> bool:
    """Move the text of `path` to ``path.1`` (…, ``path.kept``) once it exceeds `limit` bytes.

    The file itself stays and is emptied, since the service holds it open (and appends). What it writes in the instant
    between the copy and the emptying is lost.
    """
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    for number in range(kept - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


def tail(path: Path, lines: int, window: int = 1 << 20) -> list[str]:
    """The last `lines` lines of `path`, out of its last `window` bytes; empty where there is no such file."""
    return _tail(path, lines, window)[0]


def _tail(path: Path, lines: int, window: int) -> tuple[list[str], int]:
    """Those lines, and where the file ended."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - window))
            text = file.read(min(size, window)).decode(errors="replace")
    except FileNotFoundError:
        return [], 0
    return text.splitlines()[-lines:] if lines > 0 else [], size


def names(home: Home) -> list[str]:
    """The services that have a log."""
    return sorted(path.stem for path in home.logs.glob("*.log"))


def follow(home: Home, name: str, lines: int = 20, every_s: float = 0.2) -> Iterator[str]:
    """The last lines of a service's log, then each new one as it is written, without end."""
    path = check(home, name)
    last, at = _tail(path, lines, 1 << 20)
    yield from last
    rest = ""
    while True:
        size = path.stat().st_size
        if size < at:
            at = 0  # it was rotated
        if size == at:
            time.sleep(every_s)
            continue
        with path.open("rb") as file:
            file.seek(at)
            text = rest + file.read(size - at).decode(errors="replace")
        at = size
        *whole, rest = text.split("\n")
        yield from whole


def check(home: Home, name: str) -> Path:
    """The log of `name`; :class:`StackError` where there is none."""
    path = home.log(name)
    if name not in names(home):
        there = ", ".join(names(home)) or "none yet: start the stack with 'runwatch up'"
        raise StackError(f"There is no log of '{name}' in {home.logs}; there are: {there}")
    return path
