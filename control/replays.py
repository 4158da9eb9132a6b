"""Signed messages that come a second time while they are still fresh, or come too late."""

from __future__ import annotations

from collections import OrderedDict

from .signers import FRESH_MS


class Replays:
    """The time of signing of each scope's last message, for as long as an older one would still pass for fresh.

    Beyond that the broker's time tells; so what is remembered is what was said within the last minutes.
    """

    def __init__(self) -> None:
        # Scope → (when it was signed, when it arrived); the one that arrived first is first.
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def is_late(self, scope: str, signed_ms: int, log_ms: int) -> bool:
        """Whether a later-signed message of the scope came before this one; if not, this one is the last now."""
        last = self._last.get(scope)
        if last is not None and signed_ms < last[0]:
            return True
        self._last[scope] = (signed_ms, log_ms)
        self._last.move_to_end(scope)
        while self._last:
            oldest = next(iter(self._last))
            # Whatever was signed before it is stale by now, whenever it is sent again.
            if self._last[oldest][1] + 2 * FRESH_MS > log_ms:
                break
            del self._last[oldest]
        return False

    def __len__(self) -> int:
        return len(self._last)
