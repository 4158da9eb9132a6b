"""Another machine's clock against ours. No I/O."""

from __future__ import annotations

from .finding import Finding, error, ok, warning

WARN_MS = 2_000
"""Beyond it delays are told wrong, and a command's end comes too soon or too late."""
WRONG_MS = 60_000
"""Beyond it windows close too soon or wait, and commands are over before they are read."""
MEND = "have both machines keep time by NTP (chrony, systemd-timesyncd)"


def skew(where: str, ahead_ms: float, unsure_ms: float) -> Finding:
    """A clock that is so far ahead of ours (behind: below 0), give or take `unsure_ms`."""
    least = max(0.0, abs(ahead_ms) - unsure_ms)
    what = f"its clock is {abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'} ours"
    if least >= WRONG_MS:
        return error("clock", where, what, MEND)
    if least >= WARN_MS:
        return warning("clock", where, what, MEND)
    return ok("clock", where, f"agrees with ours within {(abs(ahead_ms) + unsure_ms) / 1000:.1f} s")
