"""A process that is measured: started under the leash of the stack's services, stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from ..stack import leash, logs
from .errors import BenchError


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since its start."""

    cpu_s: float
    """User and system time."""
    rss: int
    """Resident bytes now."""


def usage(pid: int) -> Usage:
    """Of the process and what it started. Raises `psutil.Error` where it is gone."""
    process = psutil.Process(pid)
    cpu_s, rss = 0.0, 0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        cpu_s += times.user + times.system
        rss += each.memory_info().rss
    return Usage(cpu_s, rss)


class Child:
    """`python ARGUMENTS…`. Use it as a context manager: it is stopped at the end, and it dies with this process."""

    def __init__(
        self, name: str, arguments: Sequence[str], env: Mapping[str, str], log: Path, *, says: bool = False
    ) -> None:
        """`says`: whether its standard output is read here, line by line, instead of going to the log."""
        self.name = name
        self._log = log
        command = [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), sys.executable, *arguments]
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if says else out,
                stderr=out,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.began = time.monotonic()

    @property
    def lines(self) -> IO[str]:
        """What it says. Only where `says` was given."""
        if self._process.stdout is None:
            raise ValueError(f"{self.name} does not say anything")
        return self._process.stdout

    def usage(self) -> Usage:
        """What it used. Raises `BenchError` where it has ended."""
        self.check()
        try:
            return usage(self.pid)
        except psutil.Error:
            raise self._ended() from None

    def check(self) -> None:
        """Raises `BenchError` where it has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def _ended(self) -> BenchError:
        last = " / ".join(logs.tail(self._log, 3)) or "nothing"
        return BenchError(f"{self.name} ended with code {self._process.poll()} while it was measured; it said: {last}")

    def stop(self, patience_s: float = 20.0) -> None:
        """Asks it to end, and ends it where it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, such as one that kills it."""
        self._process.send_signal(number)

    def wait(self, patience_s: float) -> None:
        """Waits until it ends by itself. Raises `BenchError` where it does not, or not well."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} has not ended after {patience_s:.0f} s") from None
        if code != 0:
            raise self._ended()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
