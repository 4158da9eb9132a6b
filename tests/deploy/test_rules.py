"""What is handed to Prometheus and Alertmanager, by their own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwatch.schemas.reasons import KNOWN

METRICS = {"agent_tool_calls_bucket", "agent_tool_calls_count", "agent_stop_total"}


def run(tool: str, *arguments: str, folder: Path) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not on this machine; Debian's packages prometheus and prometheus-alertmanager have it")
    done = subprocess.run([tool, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def prometheus(root: Path) -> Path:
    return root / "deploy" / "prometheus"


def test_the_rules_are_rules(prometheus: Path) -> None:
    assert "9 rules found" in run("promtool", "check", "rules", "runwatch.rules.yml", folder=prometheus)


def test_the_alerts_come_when_they_should_and_not_else(prometheus: Path) -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", "runwatch.rules.test.yml", folder=prometheus)


def test_the_alertmanagers_example_is_good(root: Path) -> None:
    folder = root / "deploy" / "alertmanager"
    assert "SUCCESS" in run("amtool", "check-config", "alertmanager.yml", folder=folder)


def test_what_is_critical_calls_somebody_and_is_a_message_too(root: Path) -> None:
    def route(*labels: str) -> list[str]:
        folder = root / "deploy" / "alertmanager"
        return run(
            "amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels, folder=folder
        ).split()

    assert ["on-call,messages"] == route("source=runwatch", "severity=critical", "agent=support")
    assert ["messages"] == route("source=runwatch", "severity=warning", "agent=support")


def rules(prometheus: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((prometheus / "runwatch.rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_metrics_are_those_that_are_served_and_the_reasons_those_of_runs(prometheus: Path) -> None:
    recorded = {rule["record"] for rule in rules(prometheus) if "record" in rule}
    text = " ".join(rule["expr"] for rule in rules(prometheus))
    assert METRICS == set(re.findall(r"\bagent_(?:tool_calls|stop)[a-z_]*\b", text))
    assert set(re.findall(r"\bagent(?:_reason)?:[a-z0-9_:]+", text)) == recorded
    assert {"loop_detected", "tool_timeout"} == set(re.findall(r'stop_reason="(\w+)"', text)) & KNOWN


def test_each_alert_has_a_runbook_in_the_documents(root: Path, prometheus: Path) -> None:
    headings = re.findall(r"^#+ (.+)$", (root / "docs" / "alerts.md").read_text(encoding="utf-8"), re.MULTILINE)
    alerts = [rule for rule in rules(prometheus) if "alert" in rule]
    assert 3 == len(alerts)
    for alert in alerts:
        found = re.match(r'docs/alerts\.md, "([^"]+)"', alert["annotations"]["runbook"])
        assert found is not None
        assert found[1] in headings
