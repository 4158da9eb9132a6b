"""docs/upgrades.md: what it names is there, and its numbers are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from runwatch.cli import app
from runwatch.metrics import names
from runwatch.schemas import registry
from runwatch.schemas.json_form import MAX_LABELS, MAX_NAME
from runwatch.sinks.deadletter import CUT_BYTES


def test_its_commands_numbers_and_names_are_the_codes(root: Path) -> None:
    text = (root / "docs" / "upgrades.md").read_text(encoding="utf-8")
    known = {str(one.name or getattr(one.callback, "__name__", "")).rstrip("_") for one in app.registered_commands}
    known |= {str(one.name) for one in app.registered_groups}
    assert set(re.findall(r"runwatch ([a-z]+)\b(?=[ `])", text)) <= known
    said = " ".join(text.split())
    assert f"every {registry.UNKNOWN_S:.0f} seconds" in said
    assert f"{MAX_NAME:,} characters a name and {MAX_LABELS:,} of labels" in said
    assert f"cut to {CUT_BYTES:,} bytes" in said
    assert f"`{names.STALLED.name}`" in said
    assert (root / "schemas" / "versions").is_dir()
