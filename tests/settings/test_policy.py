"""The policy: what is done about which anomalies, and every mistake in it with its line."""

from __future__ import annotations

from typing import Any

import pytest

from runwatch.schemas.anomalies import Anomaly
from runwatch.settings.file import Config, parse_config
from runwatch.settings.load import SettingsError
from runwatch.settings.policy import HOUR_MS, Policy, PolicyRule
from runwatch.settings.text import text


def anomaly(rule: str, severity: Any = "critical", agent: str = "a") -> Anomaly:
    return Anomaly("id", rule, "open", severity, 1, 1, agent, 1.0, "It is so.")


def parsed(*rules: str, more: str = "") -> Policy:
    lines = ["policy:", *([more] if more else []), "  rules:", *(f"    - {rule}" for rule in rules)]
    return parse_config("\n".join(lines).encode(), "p.yaml").policy


def mistakes(*rules: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        parsed(*rules)
    return list(raised.value.sentences)


def test_the_defaults_stop_critical_loops_and_notify_of_the_rest() -> None:
    policy = Policy()
    assert "stop_run" == policy.action(anomaly("loop.repeat"))
    for rule, severity in (("loop.repeat", "warning"), ("drift.outcome", "critical"), ("fleet.failing", "critical")):
        assert "notify" == policy.action(anomaly(rule, severity))
    assert "notify" == policy.action(anomaly("policy.capped"))
    assert "ignore" == policy.action(anomaly("drift.fall", "info"))
    entry = policy.entry(anomaly("loop.repeat"))
    assert entry is not None
    assert (HOUR_MS, 100, "critical", "*") == (entry.duration, entry.most_runs_an_hour, entry.least, entry.agents)


def test_what_is_printed_is_read_as_the_same() -> None:
    config = Config(policy=Policy(dry_run=True, rules=(PolicyRule(rule="*", action="notify"), *Policy().rules)))
    assert config == parse_config(text(config).encode(), "printed")
    assert "    - rule: loop.*\n      action: stop_run\n      severity: critical\n" in text(Config())


def test_the_first_entry_that_matches_counts() -> None:
    policy = parsed(
        "{rule: loop.waiting, action: ignore, severity: info}",
        "{rule: loop.*, agents: batch-*, action: disable_writes}",
        "{rule: loop.*, action: stop_run}",
    )
    assert "ignore" == policy.action(anomaly("loop.waiting", agent="batch-1"))
    assert "disable_writes" == policy.action(anomaly("loop.cycle", "warning", agent="batch-1"))
    assert "stop_run" == policy.action(anomaly("loop.cycle"))
    # What no entry matches is ignored.
    assert "ignore" == policy.action(anomaly("loop.cycle", "warning"))
    assert "ignore" == policy.action(anomaly("drift.outcome"))


def test_one_that_is_off_notifies_instead() -> None:
    assert "notify" == Policy(enabled=False).action(anomaly("loop.repeat"))
    assert "notify" == Policy(enabled=False).action(anomaly("drift.outcome"))


def test_how_long_has_to_be_remembered() -> None:
    assert HOUR_MS == Policy(rules=()).longest_ms
    longer = parsed("{rule: loop.*, action: stop_run, duration: 61m}", "{rule: '*', action: notify, duration: 7d}")
    assert 2 * HOUR_MS == longer.longest_ms


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "{rule: loop.repaet, action: stop_run}",
            "3:14: policy.rules[0].rule is 'loop.repaet': there is no such rule; did you mean loop.repeat?",
        ),
        (
            "{rule: loop.*, action: explode}",
            "3:30: policy.rules[0].action is 'explode'; "
            "it must be one of ignore, notify, disable_writes, stop_run, stop_agent.",
        ),
        (
            "{rule: drift.outcome, action: stop_run}",
            "3:37: policy.rules[0].action is 'stop_run': it cannot be done about drift.outcome, which names no run; "
            "say which rules it is for.",
        ),
        (
            "{rule: '*', action: disable_writes}",
            "3:27: policy.rules[0].action is 'disable_writes': it cannot be done about fleet.failing (nor 3 others), "
            "which names no single run or agent; say which rules it is for.",
        ),
        (
            "{rule: drift.fall, action: stop_agent}",
            "3:34: policy.rules[0].action is 'stop_agent': only what is critical may stop, and drift.fall never is.",
        ),
        (
            "{rule: policy.*, action: stop_agent}",
            "3:32: policy.rules[0].action is 'stop_agent': nothing but notify or ignore is done about policy.*.",
        ),
        (
            "{rule: loop.*, action: stop_agent, severity: warning}",
            "3:52: policy.rules[0].severity is 'warning': only what is critical may stop, so that stop_agent asks for "
            "critical.",
        ),
        (
            "{rule: loop.*, action: stop_run, duration: 30}",
            "3:50: policy.rules[0].duration is 30 without a unit; it must be a duration from 1m to 7d, such as 90s, "
            "10m or 1.5h (the default is 1h).",
        ),
        ("{rule: *, action: notify}", "3:15: `*` begins an alias in YAML; put a text that begins with it in quotes."),
        ("{action: notify}", "3:7: policy.rules[0].rule is missing; it must be text."),
    ],
)
def test_a_mistake_is_told_with_its_line(rule: str, told: str) -> None:
    assert [f"p.yaml:{told}"] == mistakes(rule)


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(
        "{rule: loop.x, action: stop_run}", "{rule: loop.*, action: x}", "{rule: loop.*, action: notify, to: me}"
    )
    assert [3, 4, 5] == [int(one.split(":")[1]) for one in found]
