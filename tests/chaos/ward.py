"""A process that is started again when it ends, as a supervisor would, and to which harm can be done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from runwatch.stack import leash

AGAIN_S = 1.0
"""Between an end and the next start."""


def leashed() -> list[str]:
    """What stands before a command that is to end with this process, however that ends."""
    return [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid())]


class Ward:
    """One process. Its own thread looks after it; the methods may be called from any other."""

    def __init__(
        self, name: str, command: Callable[[], Sequence[str]], env: dict[str, str], log: Path, cwd: Path | None = None
    ) -> None:
        """`command` is asked at each start."""
        self.name = name
        self._command = command
        self._env = env
        self._log = log
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._wanted = False
        self._over = False
        self.starts = 0
        self.ends: list[tuple[float, int]] = []
        """When it ended, by the wall's clock, and with which code."""
        self._thread = threading.Thread(target=self._look_after, name=f"ward-{name}", daemon=True)

    def start(self) -> None:
        """Starts it, and keeps it running from now on."""
        with self._lock:
            self._wanted = True
            self._launch()
            if not self._thread.is_alive():
                self._thread.start()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        with self._lock:
            return self._process.pid if self._process is not None and self._process.poll() is None else None

    def kill(self) -> None:
        """kill -9; it is started again a second later, unless `hold` came before."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """The end of `freeze`."""
        self._signal(signal.SIGCONT)

    def hold(self) -> None:
        """From now on it is not started again, until `start`."""
        with self._lock:
            self._wanted = False

    def stop(self, patience_s: float = 30.0) -> int | None:
        """Asks it to end, waits, and ends it where it does not; returns its code."""
        with self._lock:
            self._wanted = False
            process = self._process
        if process is None:
            return None
        if process.poll() is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def close(self) -> None:
        """`stop`, for good."""
        self.stop()
        self._over = True

    def rss_mb(self) -> float:
        """Resident memory of it and what it started; 0 where it does not run."""
        pid = self.pid
        if pid is None:
            return 0.0
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
            return float(sum(each.memory_info().rss for each in family)) / (1 << 20)
        except psutil.Error:
            return 0.0

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                os.kill(self._process.pid, number)

    def _launch(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [*leashed(), *self._command()], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._env}, cwd=self._cwd, start_new_session=True,
            )  # fmt: skip
        self.starts += 1

    def _look_after(self) -> None:
        noted = 0
        while not self._over:
            with self._lock:
                process, starts = self._process, self.starts
            code = process.poll() if process is not None else None
            if code is not None and noted < starts:
                noted = starts
                self.ends.append((time.time(), code))
            if code is not None and self._wanted:
                time.sleep(AGAIN_S)
                with self._lock:
                    if self._wanted:
                        self._launch()
            time.sleep(0.05)
