"""The HTTP fronts under odd requests: they answer, say of nothing that they failed, and go on."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, start_http_server

from runwatch.metrics.serve import registry_of
from runwatch.schemas.registry import local_subjects
from runwatch.stack.ports import any_free
from runwatch.stack.registry import make_server

from ..console.served import OPERATOR, serving
from ..stack.conftest import front_process
from .requests import say, storm

COUNT = int(os.environ.get("RUNWATCH_FUZZ_REQUESTS", "150"))
SEED = int(os.environ.get("RUNWATCH_FUZZ_SEED", "1"))
CONSOLE = (
    "/api/control", "/api/control/touched", "/api/approvals", "/api/audit", "/api/fleet", "/api/fleet/by",
    "/api/agents", "/api/fleet/choices", "/api/incidents", "/api/incidents/{id}", "/api/runs", "/api/runs/{id}",
    "/api/sql", "/api/sql/views", "/api/sql/exports/{id}.csv", "/api/session", "/api/{any}", "/login", "/health",
    "/", "/{any}", "/api/openapi.json",
)  # fmt: skip


def check(port: int, paths: tuple[str, ...], usual: dict[str, str], alive: Callable[[], bool], *fine: int) -> None:
    statuses, failures = storm(port, random.Random(SEED), COUNT, paths, usual, {501, 503, 505, *fine})
    assert [] == [(status, data[:300]) for status, data in failures[:5]], statuses
    assert COUNT == statuses.total()
    assert alive()


def answers(url: str, **headers: str) -> Callable[[], bool]:
    return lambda: httpx.get(url, headers=headers, timeout=20).status_code == 200


@contextmanager
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing that a thread of ours failed at is told on stderr."""
    yield
    told = capfd.readouterr().err
    assert "Traceback" not in told, told[-3000:]


def test_the_registry(capfd: pytest.CaptureFixture[str]) -> None:
    port = any_free()
    server = make_server("127.0.0.1", port, local_subjects())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    paths = ("/", "/subjects", "/subjects/{name}/versions/{n}", "/schemas/ids/{n}", "/config/{name}", "/mode", "/{any}")
    with closing(server.socket), quiet(capfd):
        check(port, paths, {}, answers(f"http://127.0.0.1:{port}/subjects"))
        server.shutdown()


def test_the_metrics(capfd: pytest.CaptureFixture[str]) -> None:
    registry: CollectorRegistry = registry_of("sink", ())
    port = any_free()
    server, _ = start_http_server(port, "127.0.0.1", registry)
    with quiet(capfd):
        check(port, ("/metrics", "/", "/{any}"), {}, answers(f"http://127.0.0.1:{port}/metrics"))
    server.shutdown()
    server.server_close()


def test_clickhouse_s_front(tmp_path: Path) -> None:
    with front_process(tmp_path / "data", password="secret", reader_password="other") as front:
        usual = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "secret"}
        for odd in (
            b"POST /?query_id=a%0d%0aX-Y:+1 HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 8\r\n"
            b"Connection: close\r\n",
        ):
            signed = odd + b"X-ClickHouse-User: default\r\nX-ClickHouse-Key: secret\r\n\r\nSELECT 1"
            assert 400 == say(front.port, signed)
        check(front.port, ("/", "/ping", "/replicas_status", "/{any}"), usual, answers(f"{front.url}/ping"), 500)
    # A 500 is ClickHouse's for most errors of a statement; what the front itself fails at is in its log.
    told = (tmp_path / "front.log").read_text(errors="replace")
    assert "a request failed" not in told, told[-3000:]


def test_the_console(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as console:
        usual = {"Host": f"127.0.0.1:{console.port}", "Authorization": f"Bearer {OPERATOR}"}
        check(console.port, CONSOLE, usual, answers(f"{console.url}/health"))
        told = console.log.read_text(errors="replace")
    assert "Traceback" not in told, told[-3000:]


@pytest.mark.parametrize("body", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00"])
def test_half_a_request_is_let_go_of(body: bytes) -> None:
    port = any_free()
    server = make_server("127.0.0.1", port, local_subjects())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert say(port, body) in (0, 200, 400)
    server.shutdown()
    server.server_close()
