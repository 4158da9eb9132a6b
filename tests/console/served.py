"""A console in a process of its own, as production has it: with no Kafka and no ClickHouse behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from runwatch.stack.ports import any_free

OPERATOR = "operator-token-of-the-tests"
VIEWER = "viewer-token-of-the-tests"
PAGE = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
"""What a browser sends with an address that was typed in."""


@dataclass(frozen=True)
class Served:
    """A console that answers."""

    port: int
    home: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **headers: str) -> httpx.Client:
        """A client that keeps cookies and follows nothing."""
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    @contextmanager
    def signed_in(self, token: str = OPERATOR, person: str = "") -> Iterator[httpx.Client]:
        """A client with a session, which says where its requests are made as browsers do."""
        with self.client(origin=self.url) as client:
            answer = client.post("/login", data={"token": token, "person": person})
            assert 303 == answer.status_code, answer.text
            yield client

    def cookie(self, token: str = OPERATOR) -> str:
        """A session's cookie, as a header has it."""
        with self.signed_in(token) as client:
            return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[Served]:
    """Starts one; `settings` by their names in small letters, None-like ones left out."""
    port = any_free()
    others = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    given = {"home": str(home), "kafka": "127.0.0.1:1", "clickhouse": "http://127.0.0.1:1", "metrics_port": "0"}
    given |= {"console_operator_token": OPERATOR, "console_viewer_token": VIEWER}
    env = others | {f"RUNWATCH_{name.upper()}": value for name, value in (given | settings).items() if value}
    home.mkdir(parents=True, exist_ok=True)
    log = home / "console.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwatch", "console", "--port", str(port)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    found = Served(port, home, process, log)
    try:
        _wait(found)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait(found: Served) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert found.process.poll() is None, found.log.read_text()
        try:
            if httpx.get(f"{found.url}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(found.log.read_text())


_ROUTES = """
import json, os
from runwatch import config
from runwatch.console.access.access import Access
from runwatch.console.app import build
from runwatch.console.context import open_context

settings = config.load()


def walk(routes, before):
    for one in routes:
        if hasattr(one, "original_router"):  # a router that FastAPI was told to include
            yield from walk(one.original_router.routes, before + one.include_context.prefix)
            continue
        path = before + one.path
        if getattr(one, "methods", None):
            yield [path, sorted(one.methods)]
        elif getattr(one, "routes", None):
            yield from walk(one.routes, path)
        else:
            yield [path + "/" * (not path.endswith("/")), ["GET"]]


print(json.dumps(list(walk(build(open_context(settings, Access(settings))).routes, ""))), flush=True)
os._exit(0)
"""


def routes_of(home: Path) -> list[tuple[str, str]]:
    """Each method and path that a console answers, NiceGUI's included; `{names}` are as the routes have them."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    env |= {"RUNWATCH_HOME": str(home), "RUNWATCH_KAFKA": "127.0.0.1:1", "RUNWATCH_CLICKHOUSE": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", _ROUTES], env=env, capture_output=True, text=True, check=True)
    found: list[tuple[str, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return [(method, path) for path, methods in found for method in methods]
