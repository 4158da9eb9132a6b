"""What is handed to Prometheus and Alertmanager, by their own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwatch.metrics.names import METRICS
from runwatch.metrics.ports import USUAL
from runwatch.schemas.reasons import KNOWN

SERVED = {name for metric in METRICS for name in metric.series} | {"up"}


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
    assert "19 rules found" in run("promtool", "check", "rules", "runwatch.rules.yml", folder=prometheus)


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
    words = re.findall(
        r"\b(?:agent|runwatch|process|up)[a-z_]*\b(?![:\w])", re.sub(r'"[^"]*"|by \([^)]*\)|on \(\w+\)', "", text)
    )
    assert {"agent_tool_calls_bucket", "agent_stop_total", "runwatch_lag_messages", "up"} <= set(words) <= SERVED
    assert set(re.findall(r"\b(?:agent|agent_reason|part_topic):[a-z0-9_:]+", text)) == recorded
    assert {"loop_detected", "tool_timeout"} == set(re.findall(r'stop_reason="(\w+)"', text)) & KNOWN


def test_each_alert_has_a_runbook_in_the_documents(root: Path, prometheus: Path) -> None:
    alerts = [rule for rule in rules(prometheus) if "alert" in rule]
    assert 12 == len(alerts)
    for alert in alerts:
        found = re.match(r'docs/(alerts|metrics)\.md, "([^"]+)"', alert["annotations"]["runbook"])
        assert found is not None
        page = (root / "docs" / f"{found[1]}.md").read_text(encoding="utf-8")
        assert found[2] in re.findall(r"^#+ (.+)$", page, re.MULTILINE)


def test_what_is_scraped_are_the_parts_of_compose_at_their_ports(root: Path, prometheus: Path) -> None:
    run("promtool", "check", "config", "--syntax-only", "prometheus.yml", folder=prometheus)
    (job,) = yaml.safe_load((prometheus / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    compose = yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    services = {"processors": "process", "sink": "sink", "alerts": "alert", "console": "console"}
    assert {services[part]: port for part, port in USUAL.items()} == {
        one["names"][0]: one["port"] for one in job["dns_sd_configs"]
    }
    ours = [name for name in services.values() if name in compose]
    assert {"0.0.0.0"} == {compose[name]["environment"]["RUNWATCH_METRICS_HOST"] for name in ours}
