"""The example of docs/replay.md runs, and its table of marks is whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import runwatch
from runwatch.control.snapshots import KINDS
from runwatch.playback.executor import Replay
from runwatch.playback.record import Record
from runwatch.schemas.canonical import sha
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.sealing import make_pair
from runwatch.settings.file import parse_config


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "replay.md").read_text(encoding="utf-8")


def test_the_example_runs(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def event(seq: int, tool: str, args: Any, result: Any) -> AgentEvent:
        shas = {"args_sha": sha(args), "result_sha": sha(result)}
        return AgentEvent(f"e{seq}", "r1", seq, "tool_result", 5, "a", tool=tool, status="ok", **shas)

    def search(query: Any) -> None:
        raise AssertionError("called")

    # An empty page, which is known by its hash.
    record = Record("r1", [event(0, "http.get", {"url": "u"}, ""), event(1, "search", {"query": ""}, [])])
    monkeypatch.setattr(runwatch, "replay", lambda run_id, **given: Replay(record, **given), raising=False)

    class Watch:
        def run(self) -> Any:
            return self

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def call_tool(self, tool: str, args: Any, fn: Any) -> Any:
            return fn(**args)

        def stop(self, reason: str) -> None: ...

    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(example, {"run_id": "r1", "OutOfStock": KeyError, "watch": Watch(), "url": "u", "search": search})
    assert "True None\n" == capsys.readouterr().out


def test_every_mark_is_told(text: str) -> None:
    assert set() == set(KINDS) - set(re.findall(r"`\[(\w+)\]`", text))


def test_the_settings_are_settings(text: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    public = make_pair()[0]
    config = parse_config(example.replace("snap-pub-…", public).encode(), "replay.md")
    assert ("salary", "customer_number") == config.snapshots.redact.keys
    assert {"employee": r"EMP-\d{6}"} == config.snapshots.for_agents().redact.patterns
