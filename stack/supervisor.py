"""Starts processes in order, restarts what dies, and stops everything again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from . import leash, logs
from .errors import StackError
from .home import Home, write_json
from .restarts import Backoff
from .services import Service

Report = Callable[[str], None]

TICK_S = 0.2
ROTATE_EVERY_S = 5.0
# What a service must not inherit: the schemas' ids stay local whatever the caller's shell says.
_NOT_INHERITED = ("RUNWATCH_REGISTRY",)


class StopAsked(BaseException):
    """SIGTERM or SIGINT arrived. Not an Exception: nothing on the way out may take it for a failure."""


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Within, the first SIGTERM, SIGINT or SIGHUP raises :class:`StopAsked`; later ones are ignored.

    Yields whether one came: an exception that is raised while a finalizer runs is dropped, the fact is not.
    """
    came = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal came
        came = True
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise StopAsked

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Child:
    """One service and the process that runs it just now, if any. Times are of the monotonic clock, but `since`."""

    service: Service
    process: subprocess.Popen[bytes] | None = None
    state: str = "starting"
    started: float = 0.0
    since: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    start_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    def to_json(self, home: Home) -> dict[str, Any]:
        """What `state.json` says of it."""
        probe = self.service.probe
        return {
            "name": self.service.name,
            "state": self.state,
            "pid": self.process.pid if self.process else None,
            "since": self.since,
            "restarts": self.restarts,
            "exit_code": self.exit_code,
            "endpoint": self.service.endpoint,
            "probe": [probe.kind, probe.target] if probe else None,
            "log": str(home.log(self.service.name)),
        }


class Supervisor:
    """The processes of the stack in `home`. Everything runs in the thread that calls; `say` gets a line per event."""

    def __init__(self, home: Home, say: Report, backoff: Callable[[], Backoff] = Backoff) -> None:
        self._home = home
        self._say = say
        self._backoff = backoff
        self._children: list[Child] = []
        self._ready = False

    def start(self, service: Service) -> None:
        """Start `service` and look after it from now on; it need not be ready when this returns."""
        child = Child(service, backoff=self._backoff())
        self._children.append(child)
        self._launch(child)
        self._save()

    def wait_ready(self, name: str) -> None:
        """Wait until `name` answers its probe; :class:`StackError` if it dies or takes longer than it may."""
        child = next(child for child in self._children if child.service.name == name)
        service = child.service
        deadline = time.monotonic() + service.ready_s
        log = self._home.log(name)
        while service.probe is not None and not service.probe.ready():
            assert child.process is not None
            code = child.process.poll()
            if code is not None:
                raise StackError(f"{name} ended with code {code} before it was ready; {_told(log)}")
            if time.monotonic() > deadline:
                raise StackError(f"{name} was not ready after {service.ready_s:.0f} s: see its log {log}")
            time.sleep(0.05)
        child.state = "running"
        self._save()

    def started(self) -> None:
        """The stack is up: say so in `state.json`."""
        self._ready = True
        self._save()

    def supervise(self, stop_asked: Callable[[], bool] = lambda: False) -> None:
        """Look after the processes until `stop_asked`, or until :class:`StopAsked` is raised."""
        rotate_at = 0.0
        while not stop_asked():
            now = time.monotonic()
            for child in self._children:
                self._look_after(child, now)
            if now >= rotate_at:
                for path in self._home.logs.glob("*.log"):
                    logs.rotate(path)
                rotate_at = now + ROTATE_EVERY_S
            time.sleep(TICK_S)

    def stop(self) -> None:
        """Stop everything, last started first; what does not end in its time is killed, with all it started."""
        for child in reversed(self._children):
            process = child.process
            if process is None:
                child.state = "stopped"
                continue
            child.state = "stopping"
            self._save()
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(child.service.stop_s)
            _kill_group(process.pid)
            child.exit_code = process.wait()
            child.process = None
            child.state = "stopped"
        self._save()

    def _launch(self, child: Child) -> None:
        service = child.service
        path = self._home.log(service.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *service.command]
        with path.open("ab") as log:
            child.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment({**service.env, "RUNWATCH_NICE": str(service.nice)}),
                start_new_session=True,
            )
        child.started = time.monotonic()
        child.since = time.time()
        child.state = "running" if service.probe is None else "starting"

    def _look_after(self, child: Child, now: float) -> None:
        name = child.service.name
        if child.process is None:
            if now >= child.start_at:
                child.restarts += 1
                self._say(f"{name} is started again (restart {child.restarts})")
                self._launch(child)
                self._save()
            return
        code = child.process.poll()
        if code is None:
            if child.state == "starting" and child.service.probe is not None and child.service.probe.ready(0.2):
                child.state = "running"
                self._save()
            return
        _kill_group(child.process.pid)
        wait = child.backoff.after(now - child.started)
        child.exit_code = code
        child.process = None
        child.state = "waiting"
        child.start_at = now + wait
        log = self._home.log(name)
        self._say(f"{name} ended with code {code} and starts again in {wait:.1f} s; {_told(log)}")
        self._save()

    def _save(self) -> None:
        write_json(
            self._home.state,
            {
                "supervisor": os.getpid(),
                "ready": self._ready,
                "services": [child.to_json(self._home) for child in self._children],
            },
        )


def _told(log: Path) -> str:
    """What a service said last."""
    last = (logs.tail(log, 1) or ["it is empty"])[0][:300]
    return f"its log {log} ends with: {last}"


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, "PYTHONUNBUFFERED": "1", **extra}


def _kill_group(pid: int) -> None:
    # The process leads its own group (start_new_session), which outlives it if it left any of its own behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
