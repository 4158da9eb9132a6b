"""Servers of receivers' kinds, real ones, on 127.0.0.1."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runwatch.stack.ports import any_free


class Hook:
    """A web server that keeps what is posted, and answers as it is told."""

    def __init__(self, port: int = 0) -> None:
        self.posts: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.answer = b"ok"
        self.answer_headers: dict[str, str] = {}
        self.wait_s = 0.0
        """Before it answers; it has read by then."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status = hook.status
                if 200 <= status < 300:
                    hook.posts.append({"path": self.path, "body": json.loads(body)})
                    hook.headers.append(dict(self.headers))
                time.sleep(hook.wait_s)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(hook.answer)), **hook.answer_headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(hook.answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def told(self) -> list[str]:
        """Of a webhook: `KIND ANOMALY_ID` of each anomaly, in the order in which they came."""
        return [f"{one['kind']} {one['anomaly_id']}" for post in list(self.posts) for one in post["body"]["anomalies"]]


def program(*names: str) -> str:
    """A program by any of its names; without it the test cannot run."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not on this machine; Debian's packages prometheus and prometheus-alertmanager have it")


class Alertmanager:
    """A real one's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            return list(json.load(answer))


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[Alertmanager]:
    """A real Alertmanager with that configuration, up."""
    binary = program("prometheus-alertmanager", "alertmanager")
    (folder / "alertmanager.yml").write_text(config, encoding="utf-8")
    port = any_free()
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "alertmanager.log").read_text()
                assert time.monotonic() < deadline, "the Alertmanager is not up after 20 s"
                time.sleep(0.1)
        yield Alertmanager(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)
