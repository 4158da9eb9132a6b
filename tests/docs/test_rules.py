"""docs/rules.md: its example is a good file, its mistakes are told as it says, and it names every section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runwatch.processors.rules import Rules
from runwatch.processors.rules_file import parse
from runwatch.settings.load import SettingsError
from runwatch.settings.setting import differing


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "rules.md").read_text(encoding="utf-8")


def test_the_example_is_a_good_file(page: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    expected = ["loops.repeat.critical", "loops.stagnation.enabled", "drift.factor", "drift.sustain", "windows.length"]
    assert expected == differing(parse(example.encode(), "example"))


def test_mistakes_are_told_so(page: str) -> None:
    told = re.findall(r"^rules\.yaml:\d+:\d+: .*$", page, re.MULTILINE)
    wrong = b"loops:\n  repaet:\n    warning: 3\n\ndrift:\n  factor: 2.5\n  sustain: 15\n"
    with pytest.raises(SettingsError) as raised:
        parse(wrong, "rules.yaml")
    assert told == list(raised.value.sentences)


def test_every_section_is_named(page: str) -> None:
    rows = "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    assert set(Rules.model_fields) == set(re.findall(r"`(\w+)`", rows))
