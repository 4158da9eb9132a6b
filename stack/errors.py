"""What can stand in the local stack's way."""

from __future__ import annotations

from ..schemas.errors import RunwatchError


class StackError(RunwatchError):
    """The local stack cannot do what was asked; the message says what is wrong, where, and what to do."""
