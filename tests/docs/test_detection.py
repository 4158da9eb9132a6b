"""docs/detection.md tells of every rule and every history that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from runwatch.bench.incidents.scenarios import LIBRARY
from runwatch.processors import fleet, loops
from runwatch.processors.drift.judge import FALL, STOP_MIX, TOOL_MIX
from runwatch.processors.drift.metrics import AGENT_METRICS, TOOL_METRICS
from runwatch.processors.rules import Rules


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "detection.md").read_text(encoding="utf-8")


def _named(package: object, prefix: str) -> set[str]:
    """The rules that the sources of a package speak of."""
    folder = Path(package.__file__).parent  # type: ignore[attr-defined]
    sources = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return set(re.findall(rf'"({prefix}\.\w+)"', sources))


def test_every_rule_has_its_row(text: str) -> None:
    drift = {FALL, *(f"drift.{name}" for name in (STOP_MIX, TOOL_MIX))}
    drift |= {f"drift.{metric.name}" for metric in (*AGENT_METRICS, *TOOL_METRICS)}
    rules = drift | _named(loops, "loop") | _named(fleet, "fleet") | {"loop.runaway"}
    # A p95 stands beside its mean.
    calls = "`drift.tool_calls_per_run`"
    told = text.replace(f"{calls}, `…_p95`", f"{calls}, `drift.tool_calls_per_run_p95`")
    assert 20 < len(rules)
    assert set() == {rule for rule in rules if f"`{rule}`" not in told}


def test_every_section_of_the_loop_and_fleet_rules_is_named(text: str) -> None:
    rules = Rules()
    for section in (rules.loops, rules.fleet):
        names = {name for name, value in section if isinstance(value, BaseModel)}
        assert set() == {name for name in names if f"| `{name}` |" not in text}


def test_every_history_stands_in_the_tables(text: str) -> None:
    assert set() == {name for name in LIBRARY if f"| {name} |" not in text}
