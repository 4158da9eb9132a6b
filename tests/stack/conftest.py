"""A real front process with chdb behind it, once a session, and what the tests say to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runwatch.stack.ports import any_free


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class FrontProcess:
    """A running front: its address and process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        path: str = "/",
        timeout: float = 30,
        **params: str,
    ) -> Reply:
        """POST `body`, or GET where there is none."""
        data = body.encode() if isinstance(body, str) else body
        url = f"{self.url}{path}" + (f"?{urllib.parse.urlencode(params)}" if params else "")
        request = urllib.request.Request(url, data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def front_process(
    folder: Path, *arguments: str, password: str = "", reader_password: str = ""
) -> Iterator[FrontProcess]:
    port = any_free()
    command = [sys.executable, "-m", "runwatch.stack.clickhouse", "--path", str(folder), "--port", str(port)]
    with (folder.parent / "front.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "RUNWATCH_CLICKHOUSE_PASSWORD": password,
                "RUNWATCH_SQL_PASSWORD": reader_password,
            },
        )
    front = FrontProcess(port, process)
    try:
        until(lambda: _answers(front), "the front answers", timeout=60)
        yield front
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _answers(front: FrontProcess) -> bool:
    assert front.process.poll() is None, "the front ended"
    try:
        return front.ask(path="/ping").status == 200
    except OSError:
        return False


def until(condition: Callable[[], bool], what: str, timeout: float = 20) -> None:
    """Wait for `condition`, and fail with `what` if it does not come."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.03)


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProcess]:
    with front_process(tmp_path_factory.mktemp("front") / "data") as process:
        yield process


@pytest.fixture(scope="session")
def gone() -> Callable[..., bool]:
    """Whether none of the processes `gone(*pids)` runs any more."""

    def is_gone(pid: int) -> bool:
        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    return lambda *pids: all(is_gone(pid) for pid in pids)


@pytest.fixture(scope="session")
def launch() -> Callable[..., AbstractContextManager[FrontProcess]]:
    """Starts another front: `launch(folder, *arguments, password=…, reader_password=…)`."""
    return front_process


@pytest.fixture(scope="session", name="until")
def until_fixture() -> Callable[..., None]:
    """Waits: `until(condition, what, timeout=20)`."""
    return until
