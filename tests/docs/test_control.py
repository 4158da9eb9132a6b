"""docs/control.md: its examples run, its policies are good ones, its mistakes are told as it says, its commands exist.

That its first agent is stopped is tested on the real stack: tests/pipeline/test_control.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from runwatch.cli import app
from runwatch.control.scopes import approval_id
from runwatch.control.signers import parse_signers
from runwatch.producers import connection
from runwatch.settings.file import parse_config
from runwatch.settings.load import SettingsError
from runwatch.settings.policy import Policy

from ..fakes import FakeControl, FakeSink


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "control.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [text for its, text in found if its == language]


def test_the_examples_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    kept = FakeSink()
    monkeypatch.setattr(connection, "KafkaTransport", lambda *_, **__: kept)
    monkeypatch.setattr(connection, "Follower", lambda *_: FakeControl())
    mails: list[str] = []
    names: dict[str, Any] = {
        "list_page": lambda page: [page],
        "send_mail": lambda to, text: mails.append(to) or "sent",
    }
    loop, *examples = blocks(page, "python")
    # The first one loops until something stops it, and here nothing does.
    exec(loop.split("with watch.run()")[0], names)
    for block in examples:
        exec(compile(block, "docs/control.md", "exec"), names)
    for watch in ("watch", "clerk", "careful"):
        assert names[watch].close(10.0)

    events = kept.events
    stops = [(one.agent, one.stop_reason) for one in events if one.kind == "stop"]
    assert [("clerk", "cancelled"), ("clerk", "success"), ("confused", "max_tool_calls")] == sorted(stops)
    refused = sorted(
        (one for one in events if one.error in ("RunStopped", "ApprovalRequired")), key=lambda one: one.agent
    )
    assert [("clerk", "approval_required"), ("confused", "max_tool_calls")] == [
        (one.agent, one.stop_reason) for one in refused
    ]
    approval = approval_id(refused[0].run_id, "mail.send", refused[0].args_sha)
    assert f"max_tool_calls\n{approval}\n" == capsys.readouterr().out
    assert (["mia@example.org"], "sent", "sent") == (mails, names["sent"], names["again"])


def test_the_default_policy_is_the_one_in_force(page: str) -> None:
    first, example = (parse_config(block.encode(), "example").policy for block in blocks(page, "yaml"))
    assert Policy() == first
    assert [
        ("loop.waiting", "ignore"), ("drift.spend_per_run", "stop_agent"), ("drift.error_rate", "disable_writes"),
        ("loop.*", "stop_run"), ("*", "notify"),
    ] == [(one.rule, one.action) for one in example.rules]  # fmt: skip


def test_mistakes_are_told_so(page: str) -> None:
    wrong = (
        b"policy:\n  rules:\n    - {rule: loop.repaet, action: stop_run}\n"
        b"    - {rule: drift.outcome, action: stop_run}\n"
    )
    with pytest.raises(SettingsError) as raised:
        parse_config(wrong, "config.yaml")
    assert re.findall(r"^config\.yaml:\d+:\d+: .*$", page, re.MULTILINE) == list(raised.value.sentences)


def test_the_file_of_signers_is_a_good_one(page: str) -> None:
    (lines,) = [text for text in blocks(page, "") if text.startswith("anna ")]
    anna, policy = parse_signers(lines, "signers").values()
    assert ("anna", "policy", {"run", "agent", "dry"}) == (anna.name, policy.name, policy.kinds)


def test_every_command_and_option_is_there(page: str) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for block in blocks(page, "") for line in block.splitlines() if line.startswith("runwatch ")]
    assert 10 < len(lines)
    for line in lines:
        name = line.split()[1]
        options = {option for one in known[name].params for option in one.opts}
        assert set(re.findall(r"(?<= )--[a-z]+", line.split("  #")[0])) <= options, line
