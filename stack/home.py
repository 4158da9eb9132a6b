"""The stack's folder: where everything lies, who holds it, and what its supervisor last said."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..endpoints import SQL_PASSWORD_FILE, sql_password
from .errors import StackError

NEEDED_MB = 1024
ENDPOINTS = "endpoints.json"


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON, for its owner's eyes; a reader sees the old or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(value, indent=1))
    draft.replace(path)


def read_json(path: Path) -> Any:
    """The JSON value in `path`, or None where there is none or it cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Home:
    """The folder `path` of one local stack."""

    path: Path

    @property
    def state(self) -> Path:
        """The supervisor's last word on its services."""
        return self.path / "state.json"

    @property
    def endpoints(self) -> Path:
        """Where the servers are, while the stack is up."""
        return self.path / ENDPOINTS

    @property
    def ports(self) -> Path:
        """The ports of the last start."""
        return self.path / "ports.json"

    @property
    def logs(self) -> Path:
        """The folder with a log per service."""
        return self.path / "logs"

    def log(self, name: str) -> Path:
        """The log of the service `name`."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the folder and see that its disk has room."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.path).free >> 20
        except OSError as error:
            raise StackError(
                f"The local stack cannot use the folder {self.path} ({error.strerror}): set RUNWATCH_HOME to another"
            ) from None
        if free < NEEDED_MB:
            raise StackError(
                f"Only {free} MB are free on the disk of {self.path}, and the local stack needs {NEEDED_MB}: "
                "free some, or set RUNWATCH_HOME to a folder on another disk"
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be the folder's one supervisor; :class:`StackError` where another is."""
        lock = self.path / "lock"
        with lock.open("a+") as file:
            for _ in range(4):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)  # perhaps only somebody who looked whether it is held
            else:
                raise already_up(self)
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
            yield

    def holder(self) -> int | None:
        """The process id of the supervisor that holds this folder; None where none does."""
        try:
            with (self.path / "lock").open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read().strip()
                    return int(text) if text.isdecimal() else 0
                return None
        except FileNotFoundError:
            return None

    def sql_password(self) -> str:
        """The password of ClickHouse's reading user: made at the first start, in a file for its owner's eyes."""
        path = self.path / SQL_PASSWORD_FILE
        try:
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_urlsafe(32) + "\n")
        except OSError as error:
            raise StackError(f"The local stack cannot write {path} ({error.strerror})") from None
        password = sql_password(self.path)
        if not password:
            raise StackError(f"{path} should hold a password and is empty: remove it, and the next start makes one")
        return password

    def forget(self) -> None:
        """Remove what only holds while the stack is up."""
        for path in (self.endpoints, self.state):
            path.unlink(missing_ok=True)


def already_up(home: Home) -> StackError:
    """The error of a second ``up``."""
    return StackError(
        f"A local stack is already up in {home.path} (process {home.holder() or 'unknown'}): use it, stop it with "
        "'runwatch down', or set RUNWATCH_HOME to another folder for a second one"
    )
