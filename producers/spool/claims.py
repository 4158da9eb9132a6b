"""Whose a spool is: each folder has a lock that the system takes away from a process that ends, however it ends."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

LOCK = "lock"


class Claim:
    """A spool's folder that is this process's own, until `release`, `remove`, or the end of the process."""

    def __init__(self, folder: Path, fd: int) -> None:
        self.folder = folder
        self._fd = fd
        _HELD[fd] = self

    def release(self) -> None:
        """Leaves the folder to whoever comes."""
        self._close()

    def remove(self) -> None:
        """Takes the folder away with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._close()

    def forget(self) -> None:
        """For a forked child: the lock is the parent's, and stays so if only the child's copy of it is closed."""
        self._close()

    def _close(self) -> None:
        if _HELD.pop(self._fd, None) is self:
            os.close(self._fd)


_HELD: dict[int, Claim] = {}


def new_claim(root: Path) -> Claim:
    """A folder of one's own in `root`, which is made too. Raises `OSError`."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        folder = root / f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{os.urandom(4).hex()}"
        folder.mkdir(mode=0o700)
        claim = _claim(folder)
        if claim is not None:
            sync_folder(root)
            sync_folder(root.parent)
            return claim
        # Someone who looked for the spools of the dead was faster, and takes it away.


def abandoned(root: Path) -> list[Claim]:
    """The folders whose processes have ended, the oldest first: all of them are this process's from now on."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
    found = []
    for name in names:
        with suppress(OSError):
            claim = _claim(root / name)
            if claim is not None:
                found.append(claim)
    return found


def sync_folder(folder: Path) -> None:
    """Waits until what is in the folder, and what is not, is on disk. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _claim(folder: Path) -> Claim | None:
    """The claim on a folder, unless someone has it or it is gone. Raises `OSError` where it cannot be told."""
    import fcntl  # not on every system: there are no spools then, and the caller says so

    path = folder / LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have taken the folder away between the opening and the locking.
        if path.stat().st_ino != os.fstat(fd).st_ino:
            raise BlockingIOError
    except OSError as error:
        os.close(fd)
        if isinstance(error, (BlockingIOError, FileNotFoundError)):
            return None
        raise
    return Claim(folder, fd)


def _after_fork() -> None:
    for claim in list(_HELD.values()):
        claim.forget()


os.register_at_fork(after_in_child=_after_fork)
