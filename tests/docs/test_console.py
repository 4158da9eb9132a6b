"""docs/console.md: its settings, keys and numbers are those in force."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runwatch.config import Settings
from runwatch.console.access import attempts, tokens
from runwatch.schemas.controls import Mode


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "console.md").read_text(encoding="utf-8")


def test_every_setting_of_the_console_is_there_with_its_default(page: str) -> None:
    said = dict(re.findall(r"^\| `(CONSOLE_\w+)` \| (\S+) \|", page, re.MULTILINE))
    fields = {name.upper(): one for name, one in Settings.model_fields.items() if name.startswith("console_")}
    assert set(fields) == set(said)
    for name, field in fields.items():
        assert (str(field.default) if field.default else "none") == said[name]


def test_the_numbers_are_those_in_force(page: str) -> None:
    said = " ".join(page.split())
    assert (5, 12.0, 100, 0.6) == (attempts.BURST, attempts.EVERY_S, attempts.BURST_OF_ALL, attempts.EVERY_S_OF_ALL)
    assert "by address (5, then one in 12 seconds) and for all together (100, then 100 a minute)" in said
    assert f"({tokens.SHORTEST} characters at least" in said
    assert f"A session lasts {Settings.model_fields['console_session_hours'].default} hours" in said


def test_the_keys_are_those_of_the_page(page: str, root: Path) -> None:
    from runwatch.console.widgets.frame import KEYS

    said = re.findall(r"^\| ((?:`[^`]+` ?)+)\| [^`|]+ \|$", page, re.MULTILINE)
    assert [keys for keys, _ in KEYS] == [" ".join(re.findall(r"`([^`]+)`", one)) for one in said]
    script = (root / "console" / "widgets" / "keys.js").read_text(encoding="utf-8")
    places = dict(re.findall(r"(\w): \"(/\w*)\"", script))
    assert {f"g {key}" for key in places} == {keys for keys, _ in KEYS if keys.startswith("g ")}


def test_the_command_by_curl_is_one(page: str) -> None:
    (body,) = re.findall(r"-d '(\{.*?\})'", page)
    assert Mode.__args__ and json.loads(body)["mode"] in Mode.__args__
