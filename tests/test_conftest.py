"""The shared fixtures keep their promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from runwatch.config import load


@pytest.mark.stack
def test_the_stack_answers(stack: Any) -> None:
    with urllib.request.urlopen(f"{stack.clickhouse}/?query=SELECT%201", timeout=10) as answer:
        assert answer.read() == b"1\n"
    with urllib.request.urlopen(f"{stack.registry}/subjects", timeout=10) as answer:
        assert "agent.events-value" in json.load(answer)


@pytest.mark.stack
def test_a_command_started_with_its_environment_has_its_settings(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWATCH_REGISTRY", "http://elsewhere:8081")
    its = stack.unique(partitions=3)
    for name in [name for name in os.environ if name.startswith("RUNWATCH_")]:
        monkeypatch.delenv(name)
    for name, value in stack.environ(its).items():
        monkeypatch.setenv(name, value)
    assert its == load()


SKIPS = """
import pytest

def test_skips():
    pytest.skip("no such tool")

@pytest.mark.docker
def test_left_out():
    raise AssertionError

def test_passes():
    assert True
"""


@pytest.mark.parametrize(("in_ci", "code", "words"), [("1", 1, "1 failed, 1 passed"), ("0", 0, "1 passed, 1 skipped")])
def test_a_skip_fails_in_ci(root: Path, tmp_path: Path, in_ci: str, code: int, words: str) -> None:
    (tmp_path / "conftest.py").write_text((root / "tests" / "conftest.py").read_text(), encoding="utf-8")
    (tmp_path / "test_skips.py").write_text(SKIPS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(root / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "RUNWATCH_CI": in_ci},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (code, True) == (done.returncode, words in done.stdout), done.stdout + done.stderr
    assert "1 deselected" in done.stdout
    assert in_ci == "0" or "skipped, which RUNWATCH_CI=1 does not allow: Skipped: no such tool" in done.stdout
