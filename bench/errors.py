"""What can stand in a benchmark's way."""

from __future__ import annotations

from ..schemas.errors import RunwatchError


class BenchError(RunwatchError):
    """A benchmark cannot be run or did not come to an end; the message says what is wrong and where."""
