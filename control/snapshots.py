"""Which arguments and results are kept, for whom, and what is taken out of them; as it is set before an agent runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..schemas import sealing
from ..schemas.errors import RunwatchError

KINDS = ("email", "phone", "card", "iban", "key", "jwt", "private_key", "auth", "password", "secret")
"""What is taken out of payloads; also the marks that stand in its place, such as `[email]`."""

MOST_BYTES = 16_384
LARGEST_BYTES = 500_000
"""With its frame a snapshot must stay below a broker's usual limit of a megabyte."""
MOST_WAITING = 16 << 20
OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class SnapshotError(RunwatchError):
    """Snapshots that cannot be taken as they were asked for; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Redact:
    """What is taken out of arguments and results before they leave."""

    off: frozenset[str] = frozenset()
    """Kinds of `KINDS` that are not looked for."""
    keys: tuple[str, ...] = ()
    """Names, beside those that are known, whose values are taken out whole."""
    patterns: Mapping[str, str] = field(default_factory=dict)
    """The user's own: name → regular expression. What it finds is replaced by `[name]`."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Arguments and results are to be kept, for whoever has the key to read."""

    seal_for: str
    """The public key of those who may read, as `runwatch snapshots key` prints it."""
    most_bytes: int = MOST_BYTES
    """Characters of text that are kept of one payload."""
    most_waiting_bytes: int = MOST_WAITING
    """Characters that may wait in memory to be redacted; what comes when it is full is not kept."""
    redact: Redact = field(default_factory=Redact)


def checked(given: Any) -> Snapshots:
    """`given` (Snapshots, or a mapping such as the section `snapshots` of a configuration) as `Snapshots`.

    Raises `SnapshotError`.
    """
    made = given if isinstance(given, Snapshots) else _from_mapping(given)
    if not made.seal_for:
        raise SnapshotError(
            "Snapshots are turned on, but there is no key to seal them for: make one with `runwatch snapshots key`, "
            "and set snapshots.seal_for to the public one."
        )
    try:
        sealing.read_public(made.seal_for)
    except sealing.WrongKey as error:
        raise SnapshotError(f"snapshots.seal_for does not do: {error}") from None
    if not 256 <= made.most_bytes <= LARGEST_BYTES:
        raise SnapshotError(f"snapshots.most_bytes is {made.most_bytes}; it must be from 256 to {LARGEST_BYTES}.")
    if unknown := sorted(made.redact.off - set(KINDS)):
        raise SnapshotError(f"snapshots.redact.off has {', '.join(unknown)}; there are {', '.join(KINDS)}.")
    for name, expression in made.redact.patterns.items():
        if wrong := pattern_trouble(name, expression):
            raise SnapshotError(f"snapshots.redact.patterns: {wrong}.")
    return made


def pattern_trouble(name: str, expression: str) -> str | None:
    """What is wrong with a user's own pattern, in words without an end; None for one that does."""
    if not OWN_NAME.fullmatch(name):
        return f"{name!r} is no name for a mark: small letters, digits and _, such as employee_id"
    try:
        found = re.compile(expression)
    except re.error as error:
        return f"{name} is no regular expression: {error}"
    if found.match(""):
        return f"{name} matches nothing at all, and so every place of every text"
    return None


def _from_mapping(given: Any) -> Snapshots:
    if not isinstance(given, Mapping):
        raise SnapshotError(f"snapshots are a mapping with seal_for, or Snapshots(...), and this is {given!r:.60}.")
    values = dict(given)
    redact = values.pop("redact", None)
    known = {one.name for one in fields(Snapshots)}
    if unknown := sorted(set(values) - known):
        raise SnapshotError(f"snapshots.{unknown[0]} is not a setting; there are {', '.join(sorted(known))}.")
    return Snapshots(
        seal_for=str(values.pop("seal_for", None) or ""),
        **{name: value for name, value in values.items() if value is not None},
        redact=_redact(redact or {}),
    )


def _redact(given: Any) -> Redact:
    if isinstance(given, Redact):
        return given
    known = {one.name for one in fields(Redact)}
    if not isinstance(given, Mapping) or (unknown := sorted(set(given) - known)):
        raise SnapshotError(f"snapshots.redact has {', '.join(sorted(known))}, and nothing else.")
    del unknown
    return Redact(frozenset(given.get("off") or ()), tuple(given.get("keys") or ()), dict(given.get("patterns") or {}))
