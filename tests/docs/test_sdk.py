"""Every example of docs/sdk.md runs, and logs what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runwatch.control.guardrails import Guardrails, Writes
from runwatch.producers import connection
from runwatch.producers.watch import Watch
from runwatch.schemas.events import AgentEvent

from ..fakes import FakeControl, FakeSink


async def fetch_later(url: str) -> str:
    return f"page of {url}"


def test_the_examples_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ways_out: list[FakeSink] = []

    def way_out(*_: Any, **__: Any) -> FakeSink:
        ways_out.append(FakeSink())
        return ways_out[-1]

    monkeypatch.setattr(connection, "KafkaTransport", way_out)
    monkeypatch.setattr(connection, "Follower", lambda *_: FakeControl())
    usage = SimpleNamespace(input_tokens=10, output_tokens=5)
    names: dict[str, Any] = {
        "fetch": lambda url: f"page of {url}",
        "fetch_later": fetch_later,
        "client": SimpleNamespace(create=lambda _: SimpleNamespace(model="gpt-4o-mini", usage=usage)),
        "index": SimpleNamespace(find=lambda query, limit: [query] * limit),
        "url": "https://example.com",
    }
    names |= {"folder": tmp_path, "office_rules": Guardrails(writes=Writes(enabled=True, require_approval=False))}
    text = (root / "docs" / "sdk.md").read_text(encoding="utf-8")
    reports: list[Any] = []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/sdk.md", "exec"), names)
        if "async def main" in block:
            asyncio.run(names["main"]())
        if "report = run.stop(" in block:
            reports.append(names["report"])
    assert reports == [
        {
            "status": "stopped",
            "stop_reason": reason,
            "usage": {"tool_calls": calls, "input_tokens": read, "output_tokens": written, "cost_usd": 0.0},
        }
        for reason, calls, read, written in (("success", 1, 10, 5), ("max_steps", 3, 0, 0))
    ]
    printed = capsys.readouterr().out
    assert "'queued': 0, 'dropped': 0, 'failed': 0" in printed
    # What a comment says is printed is what is printed.
    assert "is stopped: its budget of 2 tool calls is used up." in printed
    assert "Tool 'ticket.delete' was not called: it writes, and this agent may only read." in printed
    assert "refund {'amount': 500}" in printed
    assert (["ada@example.com", "bob@example.com"], names["first"]) == (names["sent"], names["again"])
    assert "paid 5" == names["paid"]

    for made in [value for value in names.values() if isinstance(value, Watch)]:
        assert made.flush(5.0)
    of_each: dict[tuple[str | None, ...], list[AgentEvent]] = {}
    for each in ways_out:
        events = each.events
        of_each[events[0].agent, events[0].agent_version, events[0].model] = events
    assert {
        ("support", "1.4.2", "gpt-4o"): ["success"] * 4 + ["max_steps", "success"],
        ("support", "1.4.2", None): ["max_tool_calls", "max_steps"],
        ("support", None, None): ["cancelled", "success"],
        ("billing", None, None): ["cancelled"],
        ("refunds", None, None): ["handoff"],
    } == {who: [event.stop_reason for event in said if event.kind == "stop"] for who, said in of_each.items()}
    events = of_each["support", "1.4.2", "gpt-4o"]
    searches = [event for event in events if event.tool == "search"]
    assert 2 == len(searches)
    assert 1 == len({event.args_sha for event in searches})
    shell = [(event.status, event.error, event.duration_ms) for event in events if event.tool == "shell"]
    assert [("ok", None, 12), ("error", "CalledProcessError", 900)] == shell
    costs = [event.cost_usd for event in events if event.kind == "model_result"]
    assert [None, 0.004, 0.001] == costs
