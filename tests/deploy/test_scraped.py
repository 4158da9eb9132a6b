"""A real Prometheus beside the running parts: every metric that the rules name is there, and says what was sent."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from runwatch.metrics.agents import HISTOGRAMS, REASONS
from runwatch.metrics.labels import OTHER, clean
from runwatch.metrics.names import METRICS

from .watched import AGENTS, Watched

pytestmark = pytest.mark.stack

ARTICLE = {
    "tool calls a run, p95": "histogram_quantile(0.95, sum(rate(agent_tool_calls_bucket[5m])) by (le))",
    "the same, by agent": "histogram_quantile(0.95, sum(rate(agent_tool_calls_bucket[5m])) by (le, agent))",
    "stop reasons": "sum(rate(agent_stop_total[5m])) by (stop_reason)",
    "latency, p95": "histogram_quantile(0.95, sum(rate(agent_run_latency_ms_bucket[5m])) by (le))",
}
NOT_YET = {"agent:tool_calls_per_run:p95_usual", "agent_reason:stop_share:usual"}
"""Rules that know what is usual after six hours."""


def expected_stops(watched: Watched) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for one in watched.sent:
        if one["kind"] == "stop":
            reason = one["stop_reason"] or "unknown"
            found[clean(one["agent"]), reason if reason in REASONS else OTHER] += 1
    return found


def of(watched: Watched, metric: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric that are not 0, by these of their labels."""
    return {
        tuple(dict(sample)[label] for label in labels): value
        for sample, value in watched.samples(f"sum by ({', '.join(labels)}) ({metric})").items()
        if value
    }


def counted(watched: Watched, kind: str, number: Any = lambda event: 1) -> dict[tuple[str], float]:
    found: Counter[tuple[str]] = Counter()
    for one in watched.sent:
        if one["kind"] == kind and one["stop_reason"] != "denied":
            found[(clean(one["agent"]),)] += number(one)
    return {agent: value for agent, value in found.items() if value}


def test_stops_are_counted_exactly_and_each_known_reason_stands_at_0_from_the_start(watched: Watched) -> None:
    assert expected_stops(watched) == of(watched, "agent_stop_total", "agent", "stop_reason")
    assert {(clean(agent), reason) for agent in AGENTS for reason in REASONS} == {
        (dict(sample)["agent"], dict(sample)["stop_reason"]) for sample in watched.samples("agent_stop_total")
    }


@pytest.mark.parametrize(("name", "column"), [("tool_calls", "tool_calls"), ("run_ms", "duration_ms")])
def test_runs_are_in_their_buckets_exactly(watched: Watched, name: str, column: str) -> None:
    metric = HISTOGRAMS[name]
    runs = [one for one in watched.sent if one["kind"] == "stop" and one[column] is not None]
    for agent in AGENTS:
        values = [one[column] for one in runs if one["agent"] == agent]
        found = {
            float(dict(sample)["le"]): value
            for sample, value in watched.samples(f"{metric.name}_bucket").items()
            if dict(sample)["agent"] == clean(agent)
        }
        assert {
            **{bound: sum(value <= bound for value in values) for bound in metric.bounds},
            float("inf"): len(values),
        } == found
    sums = Counter[tuple[str]]()
    for one in runs:
        sums[(clean(one["agent"]),)] += one[column]
    assert sums == of(watched, f"{metric.name}_sum", "agent")


def test_steps_are_counted_exactly(watched: Watched) -> None:
    assert counted(watched, "tool_result") == of(watched, "agent_tool_results_total", "agent")
    assert counted(watched, "tool_result", lambda one: one["status"] == "error") == of(
        watched, "agent_tool_errors_total", "agent"
    )
    assert counted(watched, "tool_result", lambda one: one["attempt"] == 2) == of(
        watched, "agent_retries_total", "agent"
    )
    assert counted(watched, "tool_result", lambda one: one["http_status"] == 503) == of(
        watched, "agent_rate_limited_total", "agent"
    )
    assert counted(watched, "model_result") == of(watched, "agent_model_calls_total", "agent")
    assert counted(watched, "model_result", lambda one: one["cost_usd"]) == of(watched, "agent_cost_usd_total", "agent")
    for kind, column in (("in", "input_tokens"), ("out", "output_tokens")):
        assert counted(watched, "model_result", lambda one, column=column: one[column]) == of(
            watched, f'agent_tokens_total{{kind="{kind}"}}', "agent"
        )
    refused = Counter((clean(one["agent"]),) for one in watched.sent if one["stop_reason"] == "denied")
    assert refused == of(watched, "agent_refused_total", "agent")


def test_what_is_amiss_found_stored_and_told_is_counted_too(watched: Watched) -> None:
    assert watched.repeats == watched.value('runwatch_amiss_total{what="repeats"}')
    assert watched.bad == watched.value('runwatch_amiss_total{what="unreadable"}')
    assert watched.bad == watched.value("sum(runwatch_dead_letters_total)")
    its = watched.settings
    messages = len(watched.sent) + watched.repeats
    assert messages == watched.value(f'runwatch_rows_stored_total{{topic="{its.topic("events")}"}}')
    assert messages + watched.bad == watched.value(f'runwatch_frame_messages_sum{{topic="{its.topic("events")}"}}')
    ((opened,),) = watched.rows("SELECT count() FROM anomaly_history WHERE state = 'open'")
    assert opened == watched.value('sum(agent_anomalies_total{state="open"})')
    ((commands,),) = watched.rows("SELECT count() FROM control_log WHERE NOT startsWith(scope, 'dry:')")
    assert commands == watched.value('sum(agent_commands_total{mode!="dry"})') > 0
    told = "sum(runwatch_alerts_sent_total)"
    watched.until(lambda: len(watched.hook.posts) == watched.value(told), "messages are not counted as they arrive")
    assert (
        0 < watched.value('max(histogram_quantile(0.95, runwatch_detection_delay_seconds_bucket{family="loop"}))') < 10
    )


def test_every_metric_of_ours_is_served_and_no_other(watched: Watched) -> None:
    text = "".join(
        urllib.request.urlopen(f"http://{place}/metrics").read().decode() for place in watched.targets.values()
    )
    served = set(re.findall(r"^# TYPE ((?:agent|runwatch)_\w+) ", text, re.MULTILINE))
    told = {metric.series[0] if metric.kind == "counter" else metric.name: metric.help for metric in METRICS}
    assert set(told) == served
    assert {f"# HELP {name} {meaning}" for name, meaning in told.items()} <= set(text.splitlines())


def test_processes_tell_of_themselves(watched: Watched) -> None:
    for metric in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert len(watched.targets) == len(watched.api("query", query=f"{metric} > 0")["result"])
    assert set(watched.targets) == {dict(sample)["part"] for sample in watched.samples("runwatch_build_info == 1")}
    # The console does nothing of itself.
    assert set(watched.targets) - {"console"} == {
        dict(sample)["part"] for sample in watched.samples("time() - runwatch_tick_timestamp_seconds < 10")
    }


def test_every_metric_that_a_rule_names_has_samples_and_its_labels(watched: Watched, root: Path) -> None:
    file = root / "deploy" / "prometheus" / "runwatch.rules.yml"
    rules = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    series = {name: metric for metric in METRICS for name in metric.series}
    selectors = set(
        re.findall(r"\b((?:agent|runwatch)_\w+)\b(?!:)(\{[^}]*\})?", " ".join(rule["expr"] for rule in rules))
    )
    named = {name for name, _ in selectors if name in series}
    assert {"agent_tool_calls_bucket", "agent_tool_calls_count", "agent_stop_total", "runwatch_lag_messages"} <= named
    for name, where in sorted(selectors):
        if name not in series:
            assert f"{name}:" in file.read_text(), f"nobody serves {name}"
            continue
        asked = name + where
        # What is lost is told of runs that have been silent for a while.
        watched.until(lambda asked=asked: bool(watched.samples(asked)), asked, patience_s=60)
        found = watched.samples(asked)
        labels = {"le", *series[name].labels} if name.endswith("_bucket") else set(series[name].labels)
        assert {frozenset({"__name__", *labels})} == {frozenset(dict(sample)) for sample in found}


def test_every_rule_is_evaluated_and_what_is_recorded_is_there(watched: Watched) -> None:
    rules = [rule for group in watched.api("rules")["groups"] for rule in group["rules"]]
    assert [] == [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"]
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    missing: list[set[str]] = []

    def settled() -> bool:
        missing.append({name for name in recorded if not watched.samples(name)})
        return missing[-1] <= NOT_YET

    watched.until(settled, "some rule records nothing", 20)
    assert NOT_YET == missing[-1]
    firing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"}
    assert {"RunwatchDeadLetters"} == firing


@pytest.mark.parametrize("what", ARTICLE)
def test_the_articles_queries_answer(watched: Watched, what: str) -> None:
    found = watched.samples(ARTICLE[what])
    assert found and all(value >= 0 for value in found.values())
    if what == "stop reasons":
        assert {"success", "loop_detected", "tool_timeout", "unknown", OTHER} == {
            dict(sample)["stop_reason"] for sample, value in found.items() if value
        }
