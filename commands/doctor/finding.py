"""What a check found: what is wrong, where, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    ok = "ok"
    note = "note"
    """Worth knowing; nothing needs to be done."""
    warning = "warning"
    """Works, and will not when something else fails, or before long."""
    error = "error"
    """Loses, doubles or hides something, or does not work at all."""
    away = "away"
    """Could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """What kind of thing: `packages`, `broker`, `topics`, `groups`, `clock`, `disk`, `schemas`, `tables`."""
    level: Level
    where: str
    what: str
    mend: str = ""
    """What to do about it; empty where nothing needs to be done."""


def ok(check: str, where: str, what: str) -> Finding:
    """All well."""
    return Finding(check, Level.ok, where, what)


def note(check: str, where: str, what: str, mend: str = "") -> Finding:
    """Worth knowing."""
    return Finding(check, Level.note, where, what, mend)


def warning(check: str, where: str, what: str, mend: str) -> Finding:
    """Not wrong yet."""
    return Finding(check, Level.warning, where, what, mend)


def error(check: str, where: str, what: str, mend: str) -> Finding:
    """Wrong."""
    return Finding(check, Level.error, where, what, mend)


def away(check: str, where: str, what: str, mend: str) -> Finding:
    """Not to be looked at."""
    return Finding(check, Level.away, where, what, mend)


GIB = 1 << 30


def room(check: str, where: str, free: int, total: int, mend: str) -> Finding:
    """Of a disk: its bytes, free and in all."""
    left = f"{free / GIB:.1f} GiB of {total / GIB:.0f} GiB are free"
    if free < GIB or free < total * 0.02:
        return error(check, where, f"only {left}", mend)
    if free < 5 * GIB or free < total * 0.1:
        return warning(check, where, f"only {left}", mend)
    return ok(check, where, left)
