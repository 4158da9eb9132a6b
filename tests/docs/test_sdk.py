"""Every example of docs/sdk.md runs, and logs what the page says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runwatch.control.state import ControlState
from runwatch.producers import connection
from runwatch.schemas import avro
from runwatch.schemas.events import AgentEvent
from runwatch.schemas.wire import decode_body, split


class Kept:
    """A way out that keeps what it is given."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.messages: list[tuple[bytes, bytes]] = []

    def send(self, messages: Sequence[tuple[bytes, bytes]]) -> int:
        self.messages.extend(messages)
        return len(messages)

    def serve(self, timeout_s: float) -> None:
        """Nothing is on its way."""

    def flush(self, timeout_s: float) -> int:
        return 0

    def counts(self) -> tuple[int, int, int]:
        return len(self.messages), 0, 0

    def away(self) -> bool:
        return False

    def abandon(self) -> None:
        """Nothing is held."""


class Silent:
    """A control topic in which nothing stands."""

    def __init__(self, *_: Any) -> None:
        self.state = ControlState()

    def start(self) -> None:
        """It is there already."""

    def wait_loaded(self, timeout_s: float) -> bool:
        return True

    def lost_for_s(self) -> float:
        return 0.0

    def close(self) -> None:
        """Nothing is held."""

    def after_fork(self) -> None:
        """Nothing is held."""


async def fetch_later(url: str) -> str:
    return f"page of {url}"


def test_the_examples_run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept()
    monkeypatch.setattr(connection, "KafkaTransport", lambda *_, **__: kept)
    monkeypatch.setattr(connection, "Follower", Silent)
    usage = SimpleNamespace(input_tokens=10, output_tokens=5)
    names: dict[str, Any] = {
        "fetch": lambda url: f"page of {url}",
        "fetch_later": fetch_later,
        "client": SimpleNamespace(create=lambda _: SimpleNamespace(model="gpt-4o-mini", usage=usage)),
        "index": SimpleNamespace(find=lambda query, limit: [query] * limit),
        "url": "https://example.com",
    }
    text = (root / "docs" / "sdk.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/sdk.md", "exec"), names)
        if "async def main" in block:
            asyncio.run(names["main"]())
    assert names["report"] == {
        "status": "stopped",
        "stop_reason": "success",
        "usage": {"tool_calls": 1, "input_tokens": 10, "output_tokens": 5, "cost_usd": 0.0},
    }
    assert "'queued': 0, 'dropped': 0, 'failed': 0" in capsys.readouterr().out

    schema = avro.load("agent_event")
    events = [AgentEvent.from_record(decode_body(split(value)[1], schema)) for _, value in kept.messages]
    assert ["success"] * 4 + ["max_steps", "success"] == [event.stop_reason for event in events if event.kind == "stop"]
    searches = [event for event in events if event.tool == "search"]
    assert 2 == len(searches)
    assert 1 == len({event.args_sha for event in searches})
    shell = [(event.status, event.error, event.duration_ms) for event in events if event.tool == "shell"]
    assert [("ok", None, 12), ("error", "CalledProcessError", 900)] == shell
    costs = [event.cost_usd for event in events if event.kind == "model_result"]
    assert [None, 0.004, 0.001] == costs
