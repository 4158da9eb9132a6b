"""The console as a part of the local stack, from `runwatch up` to `runwatch down`, as a person has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from runwatch.stack.ports import any_free

pytestmark = pytest.mark.stack


def test_it_comes_up_lets_in_and_goes(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNWATCH_")}
    env |= {"RUNWATCH_HOME": str(tmp_path / "home"), "COLUMNS": "60"}

    def runwatch(*arguments: str) -> str:
        command = [sys.executable, "-m", "runwatch", *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=120).stdout

    ports = {name: any_free() for name in ("kafka", "clickhouse", "registry", "console")}
    said = runwatch("up", "--detach", *(f"--{name}-port={port}" for name, port in ports.items()))
    try:
        url = f"http://127.0.0.1:{ports['console']}"
        operator, viewer = re.findall(rf"{re.escape(url)}/login#token=([\w-]{{43}})", said)
        assert url == json.loads((tmp_path / "home" / "endpoints.json").read_text())["console"]

        with httpx.Client(base_url=url, headers={"origin": url}, timeout=20) as client:
            assert 303 == client.post("/login", data={"token": viewer, "person": "anna"}).status_code
            assert 200 == client.get("/").status_code
            assert {"role": "viewer", "name": "anna (console)"}.items() <= client.get("/api/session").json().items()

        found = {one["name"]: one for one in json.loads(runwatch("status", "--format", "json"))}["console"]
        assert ("running", True, url, 0) == (found["state"], found["ready"], found["endpoint"], found["restarts"])
        assert 300 > found["rss_mb"]
        assert url in runwatch("logs", "console")
        home = tmp_path / "home"
        for file in (*home.glob("*.json"), *home.glob("logs/*")):
            assert operator not in file.read_text() and viewer not in file.read_text(), file

        again = runwatch("console", "--new-tokens")
        assert 2 == again.count(f"{url}/login#token="), "those of the console that runs"
        assert 401 == httpx.get(f"{url}/api/session", headers={"authorization": f"Bearer {operator}"}).status_code
    finally:
        began = time.monotonic()
        runwatch("down")
    assert 30 > time.monotonic() - began
