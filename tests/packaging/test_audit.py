"""The audit tells a service that knows nothing from one that knows of no hole; pip-audit is the real one."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HOLES = {("jinja2", "2.10"): "2.10.1", ("leaky", "1.0"): "1.1"}


class Advisories(BaseHTTPRequestHandler):
    """As OSV answers."""

    holes = HOLES
    wait_s = 0.0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, version = asked["package"]["name"], asked["version"]
        time.sleep(self.wait_s)
        found: dict[str, Any] = {}
        if mended := self.holes.get((name, version)):
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": mended}]}]
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
            found = {"vulns": [{"id": f"HOLE-{name}", "aliases": ["CVE-1"], "summary": "bad", "affected": affected}]}
        data = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def audit(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", root / ".ci" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SERVICES", ("osv",))
    monkeypatch.setattr(module, "KNOWN_S", 60.0)  # the machine may have much to do
    monkeypatch.delenv("RUNWATCH_AUDIT", raising=False)
    return module


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Starts an advisory service with these holes, which takes so long for each answer."""
    servers: list[ThreadingHTTPServer] = []

    def start(holes: dict[tuple[str, str], str] = HOLES, wait_s: float = 0.0) -> None:
        handler = type("Handler", (Advisories,), {"holes": holes, "wait_s": wait_s})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("RUNWATCH_AUDIT_OSV", f"http://127.0.0.1:{server.server_port}/v1/query")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def lock(folder: Path, text: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text(text, encoding="utf-8")
    return path


Caught = pytest.CaptureFixture[str]


def test_a_hole_fails_the_check_and_says_what_mends_it(
    audit: ModuleType, service: Callable[..., None], tmp_path: Path, capsys: Caught
) -> None:
    service()
    assert 1 == audit.main(lock(tmp_path, "leaky==1.0\n    # via sieve\nsound==2.0 ; python_version > '3'\n"))
    said = capsys.readouterr()
    assert "audit: leaky 1.0: CVE-1, HOLE-leaky; mended in 1.1\n" == said.err
    assert "audit: packages that osv was asked about: 2; holes that it knows: 1\n" == said.out


def test_one_that_is_let_stand_does_not(audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Caught) -> None:
    hole = {"id": "HOLE", "aliases": ["CVE-1"], "fix_versions": []}
    leaky = [{"name": "leaky", "version": "1.0", "vulns": [hole]}]
    assert 1 == audit.tell("osv", leaky)
    assert "audit: leaky 1.0: CVE-1, HOLE; mended in no version yet\n" == capsys.readouterr().err
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-1": "nothing here reads what leaks"})
    assert 0 == audit.tell("osv", leaky)


def test_a_service_that_knows_nothing_is_no_clean_bill(
    audit: ModuleType, service: Callable[..., None], tmp_path: Path, capsys: Caught
) -> None:
    service(holes={})
    assert 0 == audit.main(lock(tmp_path, "leaky==1.0\n"))
    said = capsys.readouterr()
    assert "" == said.out
    assert (
        "audit: NOT DONE, no advisory service could be asked about requirements.lock (osv: it answers, but knows of no "
        "hole in jinja2==2.10: it has no advisories). Nothing is known of holes in it.\n"
    ) == said.err


def test_a_service_that_is_away_is_told_and_fails_where_an_audit_is_required(
    audit: ModuleType, tmp_path: Path, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWATCH_AUDIT_OSV", "http://127.0.0.1:1/v1/query")
    monkeypatch.setenv("RUNWATCH_AUDIT", "required")
    assert 1 == audit.main(lock(tmp_path, "leaky==1.0\n"))
    assert "NOT DONE" in (said := capsys.readouterr().err)
    assert "ConnectionError" in said


def test_a_service_that_hangs_is_not_waited_for(
    audit: ModuleType, service: Callable[..., None], tmp_path: Path, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    service(wait_s=30.0)
    monkeypatch.setattr(audit, "KNOWN_S", 1.0)
    began = time.monotonic()
    assert 0 == audit.main(lock(tmp_path, "leaky==1.0\n"))
    assert time.monotonic() - began < 10.0
    assert "osv: no answer within 1 s" in capsys.readouterr().err


def test_a_package_that_the_service_does_not_know_is_named(audit: ModuleType, capsys: Caught) -> None:
    assert 0 == audit.tell("pypi", [{"name": "own", "skip_reason": "not found"}, {"name": "sound", "vulns": []}])
    said = capsys.readouterr()
    assert "audit: packages that pypi was asked about: 1; holes that it knows: 0\n" == said.out
    assert "audit: NOT KNOWN to pypi, and so not audited: own\n" == said.err
