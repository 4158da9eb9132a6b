"""docs/events.md says what the schemas say."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from runwatch.schemas import avro, reasons
from runwatch.schemas.canonical import sha
from runwatch.schemas.json_form import RunOrder, parse_line


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "events.md").read_text(encoding="utf-8")


def test_every_field_has_its_row_with_the_schemas_own_doc(text: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [\w, ?]+ \| (.*) \|$", text, re.MULTILINE))
    expected = {field["name"]: field["doc"] for field in avro.load("agent_event").raw["fields"]}
    assert expected == {name: doc for name, doc in rows.items() if name in expected}
    assert list(expected) == [name for name in rows if name in expected]


def test_every_kind_and_stop_reason_is_told(text: str) -> None:
    words = set(re.findall(r"`(\w+)`", text))
    assert set() == reasons.KNOWN - words
    assert set() == {"run_start", "model_result", "tool_result", "stop"} - words


def test_the_example_is_events(text: str) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    order = RunOrder()
    tool, stop = [parse_line(line, order) for line in example.replace("\n ", " ").splitlines()]
    assert ("http.get", sha({"url": "https://example.com"}), 0) == (tool.tool, tool.args_sha, tool.seq)
    assert ("success", 1.0, 812, 1) == (stop.stop_reason, stop.outcome, stop.input_tokens, stop.seq)


def test_the_recipe_for_hashes_is_ours(text: str) -> None:
    (recipe,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    value = {"b": [1, "grüß"], "a": None}
    names: dict[str, Any] = {"json": json, "hashlib": hashlib, "value": value}
    lines = recipe.strip().splitlines()
    exec("\n".join([*lines[:-1], f"found = {lines[-1]}"]), names)
    assert sha(value) == names["found"]
