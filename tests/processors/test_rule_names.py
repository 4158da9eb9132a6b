"""The list of rules is that of what the processors can say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runwatch.processors.drift.metrics import AGENT_METRICS, TOOL_METRICS
from runwatch.processors.drift.told import FALL, STOP_MIX, TOOL_MIX
from runwatch.processors.fleet import storms
from runwatch.processors.loops import said
from runwatch.schemas.rule_names import (
    AGENT_RULES,
    FLEET_RULES,
    NEVER_CRITICAL,
    POLICY_RULES,
    RULES,
    RUN_RULES,
    matching,
    nearest,
)

NAME = re.compile(r'"((?:loop|fleet|policy|drift)\.[a-z_0-9]+)"')


def test_rules_of_runs_are_those_that_loops_tell_by() -> None:
    assert set(RUN_RULES) == set(said._BITS)


def test_rules_of_agents_are_the_metrics_the_mixes_and_the_fall() -> None:
    metrics = {f"drift.{metric.name}" for metric in (*AGENT_METRICS, *TOOL_METRICS)}
    assert set(AGENT_RULES) == {*metrics, f"drift.{STOP_MIX}", f"drift.{TOOL_MIX}", FALL}
    assert {f"drift.{STOP_MIX}", f"drift.{TOOL_MIX}", FALL} == NEVER_CRITICAL


def test_rules_of_the_fleet_are_those_that_its_judges_name(root: Path) -> None:
    named = {found for file in (root / "processors" / "fleet").glob("*.py") for found in NAME.findall(file.read_text())}
    assert set(FLEET_RULES) == named >= {storms.RETRIES.rule, storms.TIMEOUTS.rule}


def test_no_rule_is_named_that_is_not_in_the_list(root: Path) -> None:
    files = [file for folder in ("processors", "schemas") for file in (root / folder).rglob("*.py")]
    assert set(RULES) >= {found for file in files for found in NAME.findall(file.read_text())}
    assert len(RULES) == len(set(RULES)) == sum(map(len, (RUN_RULES, AGENT_RULES, FLEET_RULES, POLICY_RULES)))


def test_a_pattern_names_rules() -> None:
    assert list(RUN_RULES) == matching("loop.*")
    assert ["drift.spend_per_run"] == matching("drift.spend_per_run")
    assert [] == matching("Loop.*")
    assert list(RULES) == matching("*")


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("loop.repaet", "did you mean loop.repeat?"),
        ("loops.*", "did you mean loop.*?"),
        ("fleet.everything", "fleet.* is failing, retries, timeouts, handoff"),
        ("nonsense", "they are drift.…, fleet.…, loop.…, policy.…; `runwatch anomalies` shows those that fired"),
    ],
)
def test_what_may_have_been_meant(pattern: str, meant: str) -> None:
    assert meant == nearest(pattern)
