"""Stacks of one user start one after the other: a port that is chosen is free until its server listens there."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn() -> Iterator[None]:
    """Waits until no other stack is choosing ports and starting its servers; holds the turn within."""
    path = Path(tempfile.gettempdir()) / f"runwatch-{os.getuid()}.starting"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        # With its descriptor goes the lock, however this process ends.
        os.close(lock)
