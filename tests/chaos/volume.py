"""A small disk of its own, in memory, that can be filled; a plain folder where this machine does not let us mount."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

FILLER = "filler"


class Volume:
    """A folder on a disk of so many MB."""

    def __init__(self, path: Path, size_mb: int) -> None:
        self.path = path
        self._size_mb = size_mb
        self.is_own = False
        """Whether it is a disk of its own, and can be filled without harm to others."""

    def mount(self) -> None:
        """Makes it."""
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self._size_mb}m", "tmpfs", str(self.path)], capture_output=True
        )
        self.is_own = done.returncode == 0

    def unmount(self) -> None:
        """Lets it go, with what is in it."""
        if self.is_own:
            subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True, check=False)
            self.is_own = False

    def fill(self, leave_mb: int = 0) -> None:
        """Leaves so much free, and no byte more. Safe to repeat while others write and delete."""
        if not self.is_own:
            raise RuntimeError(f"{self.path} is no disk of its own")
        with (self.path / FILLER).open("ab", buffering=0) as file:
            if leave_mb:
                while shutil.disk_usage(self.path).free > leave_mb << 20:
                    file.write(b"\0" * (1 << 20))
                return
            for piece in (1 << 20, 4096):
                try:
                    while True:
                        file.write(b"\0" * piece)
                except OSError:
                    pass

    def clear(self) -> None:
        """Gives the room back."""
        (self.path / FILLER).unlink(missing_ok=True)

    @property
    def used_mb(self) -> float:
        """What is in use."""
        usage = shutil.disk_usage(self.path)
        return usage.used / (1 << 20)
