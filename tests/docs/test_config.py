"""docs/config.md: its example is a good file, its mistakes are told as it says, and it names every section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runwatch.settings.events import ALWAYS
from runwatch.settings.file import Config, parse_config
from runwatch.settings.load import SettingsError
from runwatch.settings.setting import differing


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "config.md").read_text(encoding="utf-8")


def test_the_example_is_a_good_file(page: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    found = parse_config(example.encode(), "example")
    assert [
        "logging.events.include", "retention.logs_days", "guardrails.budgets.seconds", "guardrails.budgets.tokens",
        "guardrails.budgets.cost_usd", "guardrails.tools.allowlist", "guardrails.tools.blocklist",
        "guardrails.writes.tools", "controls.kill_switch.on_control_lost",
    ] == differing(found)  # fmt: skip


def test_mistakes_are_told_so(page: str) -> None:
    told = re.findall(r"^runwatch\.yaml:\d+:\d+: .*$", page, re.MULTILINE)
    with pytest.raises(SettingsError) as raised:
        parse_config(b"budgets: {stepps: 3}\nretention:\n  logs_days: 1w\n", "runwatch.yaml")
    assert told == list(raised.value.sentences)


def test_what_nobody_will_see_is_told_so(page: str) -> None:
    wrong = b"logging: {events: {store_args_hash: false}}"
    (said,) = parse_config(wrong, "runwatch.yaml").notes()
    assert said in page.splitlines()


def test_every_section_and_every_field_that_is_always_sent_is_named(page: str) -> None:
    table = page.split("| section |")[1].split("\n\n")[0]
    assert list(Config.model_fields) == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    known_by = re.findall(r"known by \((.*?)\)", page, re.DOTALL)[0]
    assert list(ALWAYS) == re.findall(r"`(\w+)`", known_by)
