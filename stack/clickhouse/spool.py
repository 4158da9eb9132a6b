"""An insert's data on its way from the socket to the engine: a file that has no name and lives in memory.

The engine reads inserts by ``FROM INFILE``. That is as fast as its streaming insert, and unlike that one reports
constraint violations and errors of materialized views (chdb 26.9 drops such inserts without a word).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

IN_MEMORY = 64 << 20


class Spool:
    """Bytes to be read once by the engine, at :attr:`path`.

    Up to :data:`IN_MEMORY` bytes stay in memory, where the system has ``memfd_create`` (Linux); the rest goes to an
    unnamed file in `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.size = 0
        self._name: str | None = None
        self._in_memory = sys.platform == "linux"
        if sys.platform == "linux":
            self._fd = os.memfd_create("insert", os.MFD_CLOEXEC)
        else:
            self._fd = self._new_file()

    def _new_file(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=self._folder, prefix="insert-")
        if sys.platform == "linux":
            Path(name).unlink()
        else:
            self._name = name
        return fd

    @property
    def path(self) -> str:
        """Where the engine, in this same process, reads the data."""
        return self._name or f"/proc/self/fd/{self._fd}"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`."""
        if self._in_memory and self.size + len(data) > IN_MEMORY:
            self._to_disk()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(data)

    def _to_disk(self) -> None:
        fd = self._new_file()
        at = 0
        while at < self.size:
            at += os.sendfile(fd, self._fd, at, self.size - at)
        os.close(self._fd)
        self._fd = fd
        self._in_memory = False

    def close(self) -> None:
        """Let go of the memory or the file."""
        os.close(self._fd)
        if self._name is not None:
            Path(self._name).unlink(missing_ok=True)
