"""Which commands are in force: the last one of each scope, until it expires."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..schemas.controls import Control, Mode

STRICTNESS: dict[Mode, int] = {"allow": 0, "disable_writes": 1, "stop": 2}
"""Of several commands that match a call the strictest holds: a narrower `allow` does not lift a wider `stop`."""


class ControlState:
    """The commands by scope. One thread may write and any number read."""

    def __init__(self) -> None:
        self._by_scope: dict[str, Control] = {}
        self._lock = threading.Lock()
        self.version = 0
        """Grows with every change: who keeps an answer knows by it whether to ask again."""

    def apply(self, control: Control) -> bool:
        """Takes a command; False where a later one of its scope is known, which then stays."""
        with self._lock:
            standing = self._by_scope.get(control.scope)
            if standing is not None and standing.ts_ms > control.ts_ms:
                return False
            self._by_scope[control.scope] = control
            self.version += 1
            return True

    def forget(self, scope: str) -> None:
        """Takes away what stands in a scope, as a message without a value says."""
        with self._lock:
            if self._by_scope.pop(scope, None) is not None:
                self.version += 1

    def standing(self, scope: str, now_ms: int) -> Control | None:
        """The last command of a scope, an `allow` too; None where there is none, or it has expired."""
        found = self._by_scope.get(scope)
        return found if found is not None and not expired(found, now_ms) else None

    def strictest(self, scopes: Iterable[str], now_ms: int) -> Control | None:
        """The strictest of what stands in the scopes; None where nothing is forbidden. Of equals, the first."""
        strictest = None
        for scope in scopes:
            found = self._by_scope.get(scope)
            if (
                found is not None
                and STRICTNESS[found.mode] > (STRICTNESS[strictest.mode] if strictest else 0)
                and not expired(found, now_ms)
            ):
                strictest = found
        return strictest

    def commands(self, now_ms: int) -> list[Control]:
        """What stands in all scopes, oldest first."""
        with self._lock:
            known = list(self._by_scope.values())
        return sorted((one for one in known if not expired(one, now_ms)), key=lambda one: (one.ts_ms, one.scope))

    def expired(self, now_ms: int) -> list[Control]:
        """What stood and has expired, oldest first."""
        with self._lock:
            known = list(self._by_scope.values())
        return sorted((one for one in known if expired(one, now_ms)), key=lambda one: (one.ts_ms, one.scope))

    def after_fork(self) -> None:
        """A lock that another thread held when the process forked would stay held in the child."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_scope)

    def __contains__(self, scope: str) -> bool:
        return scope in self._by_scope


def expired(control: Control, now_ms: int) -> bool:
    """Whether a command has ended by itself."""
    return control.expires_ms is not None and control.expires_ms <= now_ms
