"""How an agent keeps events on disk that it cannot send yet; as it is set before the agent runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..schemas.errors import RunwatchError

Mode = Literal["overflow", "always"]
Fsync = Literal["never", "every", "each"]
WhenFull = Literal["oldest", "newest"]

LEAST_BYTES = 1 << 20
MOST_BYTES = 256 << 20
FSYNC_EVERY_MS = 100


class SpoolError(RunwatchError):
    """A spool that cannot be as it was asked for; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Spool:
    """Events wait on disk, in a folder that later processes share."""

    folder: str | Path
    mode: Mode = "overflow"
    """`overflow`: events go to disk when the broker is away or slow. `always`: each does, before it is sent."""
    fsync: Fsync = "every"
    """When what was written is made to outlive the machine too: `each` batch before it is sent, `every` so often, or
    `never`, which leaves it to the system. An end of the process alone loses nothing that was written."""
    fsync_every_ms: int = FSYNC_EVERY_MS
    """For `every`: after so many milliseconds at the latest."""
    most_bytes: int = MOST_BYTES
    """How large a process's files may become, with those that it took over."""
    when_full: WhenFull = "oldest"
    """Which events are dropped then."""


def checked(given: Any) -> Spool:
    """`given` (Spool, a folder, or a mapping such as the section `spool` of a configuration) as `Spool`.

    Raises `SpoolError`.
    """
    made = given if isinstance(given, Spool) else _from(given)
    if not str(made.folder):
        raise SpoolError("A spool needs a folder: set spool.folder, or RUNWATCH_SPOOL.")
    for name, allowed in (("mode", Mode), ("fsync", Fsync), ("when_full", WhenFull)):
        if getattr(made, name) not in get_args(allowed):
            raise SpoolError(f"spool.{name} is {getattr(made, name)!r}; it is one of {', '.join(get_args(allowed))}.")
    if not isinstance(made.fsync_every_ms, int) or made.fsync_every_ms < 1:
        raise SpoolError(f"spool.fsync_every_ms is {made.fsync_every_ms!r}; it is a number of milliseconds from 1.")
    if not isinstance(made.most_bytes, int) or made.most_bytes < LEAST_BYTES:
        raise SpoolError(f"spool.most_bytes is {made.most_bytes!r}; it is a number of bytes from {LEAST_BYTES:,}.")
    return made


def _from(given: Any) -> Spool:
    if isinstance(given, str | Path):
        return Spool(given)
    known = {one.name for one in fields(Spool)}
    if not isinstance(given, Mapping):
        raise SpoolError(f"a spool is a folder, Spool(...), or a mapping with folder, and this is {given!r:.60}.")
    if unknown := sorted(set(given) - known):
        raise SpoolError(f"spool.{unknown[0]} is not a setting; there are {', '.join(sorted(known))}.")
    if not given.get("folder"):
        raise SpoolError("A spool needs a folder: set spool.folder, or RUNWATCH_SPOOL.")
    return Spool(**given)
