"""Which tools may be called, as the settings have it: pure, and the same for all runs of an agent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from ...control.guardrails import Guardrails


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the settings say of a tool."""

    writes: bool
    denied: str | None = None
    """Why it may not be called."""
    needs_approval: bool = False
    idempotent: bool = False
    """Whether the same write is done only once in a run."""


class Policy:
    """The settings of tools and writes, made ready to be asked."""

    def __init__(self, guardrails: Guardrails) -> None:
        tools, writes = guardrails.tools, guardrails.writes
        self._settings = guardrails
        self._blocked = _matcher(tools.blocklist)
        self._allowed = _matcher(tools.allowlist)
        self._writing = _matcher(writes.tools)
        self._writes_go = tools.default_mode == "allow_all" or writes.enabled

    def ruling(self, tool: str, writes: bool | None) -> Ruling:
        """What holds for a tool that was declared to write, or not to, or neither."""
        is_write = bool(writes) or self._writing(tool)
        if self._blocked(tool):
            return Ruling(is_write, "it is on the blocklist (guardrails.tools.blocklist)")
        if not is_write:
            return Ruling(False)
        if not self._writes_go and not self._allowed(tool):
            return Ruling(
                True,
                "it writes, and this agent may only read. Put its name on guardrails.tools.allowlist, or set"
                " guardrails.writes.enabled",
            )
        its = self._settings.writes
        return Ruling(True, None, its.require_approval, its.idempotency)


def _matcher(patterns: Iterable[str]) -> _Matches:
    return _Matches(tuple(patterns))


class _Matches:
    """Whether a name matches one of several patterns, upper and lower case told apart on every system."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._match = re.compile("|".join(translate(pattern) for pattern in patterns)).match if patterns else None

    def __call__(self, name: str) -> bool:
        return self._match is not None and self._match(name) is not None
