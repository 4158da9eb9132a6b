"""The config file: the article's keys, defaults that are those in force without it, and what settings come to."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runwatch.control.guardrails import Budgets, Guardrails, KillSwitch, ToolPolicy, Writes
from runwatch.control.outgoing import Outgoing
from runwatch.processors.drift.metrics import AGENT_METRICS, TOOL_METRICS
from runwatch.processors.drift.told import MIX_NAMES
from runwatch.schemas.events import FIELDS
from runwatch.schemas.sealing import make_pair
from runwatch.settings.agents import load_for_agent, load_guardrails
from runwatch.settings.events import ALWAYS, HASHES, METRICS, NEEDS, EventField
from runwatch.settings.file import Config, load_config, parse_config
from runwatch.settings.load import SettingsError
from runwatch.settings.setting import differing, settings
from runwatch.settings.text import text

ARTICLE = """
logging:
  events:
    enabled: true
    schema: unified
    store_args: false
    store_args_hash: true
    include: [run_id, step_id, tool, duration_ms, status, error, stop_reason]
metrics:
  track: [tokens_per_request, tool_calls_per_run, latency_p95, spend_per_run, stop_reason]
retention:
  tool_snapshot_days: 14
  logs_days: 30
"""
GUARD = """
tools:
  default_mode: read_only
  allowlist: [search.read, kb.read]
writes:
  enabled: false
  require_approval: true
  idempotency: true
controls:
  kill_switch:
    enabled: true
    mode: disable_writes
audit:
  enabled: true
"""


def config(content: str) -> Config:
    return parse_config(content.encode(), "runwatch.yaml")


def mistakes(content: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        config(content)
    return list(raised.value.sentences)


def sent(content: str) -> set[str]:
    return set(FIELDS) - config(content).for_agents()[1].left_out


# -- the defaults ------------------------------------------------------------------------------------


def test_the_defaults_are_what_agents_go_by_without_a_file() -> None:
    assert (Guardrails(), Outgoing()) == Config().for_agents()
    assert [] == list(Config().notes())
    assert Config() == load_config(None)


def test_the_safe_values() -> None:
    found = Config()
    assert (False, True, "unified") == (
        found.logging.events.store_args, found.logging.events.store_args_hash, found.logging.events.schema
    )  # fmt: skip
    assert (14, 30) == (found.retention.tool_snapshot_days, found.retention.logs_days)
    assert ["read_only", False, True, True] == [
        found.guardrails.tools.default_mode, found.guardrails.writes.enabled,
        found.guardrails.writes.require_approval, found.guardrails.writes.idempotency,
    ]  # fmt: skip
    assert (True, "disable_writes", True) == (
        found.controls.kill_switch.enabled, found.controls.kill_switch.mode, found.audit.enabled
    )  # fmt: skip
    named = yaml.safe_load(ARTICLE)
    assert named["logging"]["events"]["include"] == list(found.logging.events.include)[:7]
    assert named["metrics"]["track"] == list(found.metrics.track)[:5]


def test_every_setting_is_explained_and_says_what_it_must_be() -> None:
    for one in settings(Config):
        assert one.field.description, one.name
        assert one.wanted or isinstance(one.default, tuple | dict), one.name


def test_what_is_printed_reads_as_the_same() -> None:
    assert Config() == config(text(Config()))
    own = config(ARTICLE + GUARD + "budgets: {seconds: 90, tokens: null}\n")
    assert own == config(text(own))
    # And any YAML reader takes it.
    assert set(Config.model_fields) == set(yaml.safe_load(text(own)))


# -- the article's own files -------------------------------------------------------------------------


def test_the_articles_file_does() -> None:
    assert ["logging.events.include", "metrics.track"] == differing(config(ARTICLE))


def test_guardrails_may_stand_at_the_left_edge() -> None:
    guard, rest = GUARD.split("controls:")
    inner = "guardrails:" + guard.rstrip().replace("\n", "\n  ") + "\ncontrols:" + rest
    expected = Guardrails(tools=ToolPolicy(allowlist=("search.read", "kb.read")))
    assert expected == config(GUARD).for_agents()[0] == config(inner).for_agents()[0]


def test_a_mistake_there_has_its_place() -> None:
    assert ["runwatch.yaml:2:11: guardrails.writes.enabled is 3; it must be true or false (the default is false)."] == (
        mistakes("writes:\n enabled: 3\n")
    )
    assert ["runwatch.yaml:2:1: tools is not a setting; did you mean guardrails.tools?"] == (
        mistakes("guardrails: {tools: {}}\ntools: {}\n")
    )
    assert [
        "runwatch.yaml:1:8: guardrails.tools is a list; it is to hold settings such as `default_mode:`, a line each."
    ] == (mistakes("tools: [a]"))


# -- guardrails --------------------------------------------------------------------------------------


def test_guardrails_as_agents_go_by_them() -> None:
    content = """
guardrails:
  budgets: {steps: 7, tool_calls: null, seconds: 90s, tokens: null, cost_usd: 2.5}
  tools: {default_mode: allow_all, allowlist: [a.*], blocklist: [rm]}
  writes: {enabled: true, tools: ['*.send'], require_approval: false, approval_wait: 1500ms, idempotency: false}
controls:
  kill_switch: {enabled: false, mode: stop, on_control_lost: disable_writes, lost_after: 2m}
"""
    assert (
        Guardrails(
            Budgets(7, None, 90.0, None, 2.5),
            ToolPolicy("allow_all", ("a.*",), ("rm",)),
            Writes(True, ("*.send",), False, 1.5, False),
            KillSwitch(False, "stop", "disable_writes", 120.0),
        )
        == config(content).for_agents()[0]
    )


@pytest.mark.parametrize(
    ("given_", "seconds"), [("90", 90.0), ("1.5", 1.5), ("90s", 90.0), ("1h", 3600.0), ("null", None)]
)
def test_seconds_may_be_a_bare_number(given_: str, seconds: float | None) -> None:
    assert seconds == config(f"budgets: {{seconds: {given_}}}").for_agents()[0].budgets.seconds


@pytest.mark.parametrize("value", ["-1", "true", "1x", "0", "1e300", "[1]"])
def test_seconds_that_do_not_do(value: str) -> None:
    (told,) = mistakes(f"budgets: {{seconds: {value}}}")
    assert told.startswith("runwatch.yaml:1:20: guardrails.budgets.seconds is ")
    assert "such as 90s, 10m or 1.5h, or a number of seconds (the default is 1h)." in told


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("budgets: {steps: 0}",
         "1:18: guardrails.budgets.steps is 0; it must be a whole number of at least 1 (the default is 500)."),
        ("budgets: {cost: 3}",
         "1:11: guardrails.budgets.cost is not a setting; did you mean guardrails.budgets.cost_usd?"),
        ("logging: {events: {store_arg: true}}",
         "1:20: logging.events.store_arg is not a setting; did you mean logging.events.store_args?"),
        ("retention: {logs_days: 0}",
         "1:24: retention.logs_days is 0; it must be a whole number from 1 to 3660 (the default is 30)."),
        ("controls: {kill_switch: {mode: allow}}",
         "1:32: controls.kill_switch.mode is 'allow'; it must be one of disable_writes, stop (the default is "
         "'disable_writes')."),
        ("logging: {events: {schema: v2}}",
         "1:28: logging.events.schema is 'v2'; it must be one of unified (the default is 'unified')."),
        ("logging: {events: {store_args_hash: false, include: [args_sha]}}",
         "1:19: logging.events.include names args_sha, which store_args_hash: false leaves out; change either."),
        ("guardrail: {}", "1:1: guardrail is not a setting; did you mean guardrails?"),
    ],
)  # fmt: skip
def test_mistakes(content: str, expected: str) -> None:
    assert [f"runwatch.yaml:{expected}"] == mistakes(content)


# -- what is sent ------------------------------------------------------------------------------------


def test_every_metric_of_the_judges_can_be_tracked() -> None:
    of_judges = {metric.name for metric in (*AGENT_METRICS, *TOOL_METRICS)}
    assert set(METRICS) == of_judges | set(MIX_NAMES.values())


def test_every_field_of_an_event_is_known() -> None:
    assert set(FIELDS) == set(get_args(EventField))
    assert set(METRICS) == set(NEEDS)


def test_what_is_not_included_is_left_out_unless_a_tracked_metric_needs_it() -> None:
    hashes, named = set(HASHES), {"step_id", "tool", "duration_ms", "status", "error", "stop_reason"}
    metrics = {"input_tokens", "output_tokens", "tool_calls", "cost_usd"}
    assert {*ALWAYS, *hashes, *named, *metrics} == sent(ARTICLE)
    assert {*ALWAYS, *hashes, "tool"} == sent("logging: {events: {include: [tool]}}\nmetrics: {track: []}\n")
    assert {*ALWAYS, *hashes, "attempt"} == sent(
        "logging: {events: {include: []}}\nmetrics: {track: [retries_per_call]}\n"
    )
    assert set(FIELDS) - hashes == sent("logging: {events: {store_args_hash: false}}")


@given(st.sets(st.sampled_from(get_args(EventField))), st.sets(st.sampled_from(METRICS)))
def test_what_is_included_or_needed_is_sent(include: set[Any], track: set[Any]) -> None:
    found = sent(f"logging: {{events: {{include: {sorted(include)}}}}}\nmetrics: {{track: {sorted(track)}}}\n")
    needed = {field for metric in track for field in NEEDS[metric]}
    assert {*include, *needed, *ALWAYS, *HASHES} == found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("logging: {events: {enabled: false}}",
         ["logging.events.enabled is false: agents send nothing, and nothing of them is seen."]),
        ("logging: {events: {store_args_hash: false}}",
         ["logging.events.store_args_hash is false: loops cannot be found, since no two calls can be compared."]),
        ("controls: {kill_switch: {enabled: false}}",
         ["controls.kill_switch.enabled is false: agents obey neither `runwatch kill` nor the policy."]),
        ("audit: {enabled: false}", ["audit.enabled is false: what agents were refused is not on record."]),
        ("logging: {events: {include: [tool, error, model, prompt_sha, tools_sha, agent_version]}}\n"
         "metrics: {track: [error_rate, stop_reason, rate_limited]}",
         ["logging.events.include leaves out attempt: retries are not seen."]),
    ],
)  # fmt: skip
def test_who_sends_less_is_told_what_is_not_seen(content: str, expected: list[str]) -> None:
    assert expected == list(config(content).notes())


def test_switches_reach_the_agent() -> None:
    _, out = config("logging: {events: {enabled: false}}\naudit: {enabled: false}").for_agents()
    assert (False, False) == (out.events, out.refusals)


# -- for agents --------------------------------------------------------------------------------------


def test_an_agents_file(tmp_path: Any) -> None:
    path = tmp_path / "runwatch.yaml"
    path.write_text("budgets: {steps: 3}\n")
    found = load_for_agent(path)
    assert (3, Outgoing()) == (found.guardrails.budgets.steps, found.outgoing)
    assert found.guardrails == load_guardrails(path)
    assert () == found.notes
    path.write_text("audit: {enabled: false}\n")
    assert ("audit.enabled is false: what agents were refused is not on record.",) == load_for_agent(path).notes
    with pytest.raises(SettingsError, match=r"^The config file .* cannot be read: No such file or directory\.$"):
        load_guardrails(tmp_path / "none.yaml")


# -- snapshots ---------------------------------------------------------------------------------------


def test_snapshots_need_somebody_who_can_read_them() -> None:
    assert [
        "runwatch.yaml:2:32: logging.events.store_args is true, but nobody could read what is stored: make a pair of "
        "keys with `runwatch snapshots key`, and set snapshots.seal_for to the public one."
    ] == mistakes("retention: {logs_days: 7}\nlogging: {events: {store_args: true}}\n")


def test_snapshots_are_for_agents_where_they_are_turned_on(tmp_path: Any) -> None:
    key, _ = make_pair()
    path = tmp_path / "runwatch.yaml"
    path.write_text(f"snapshots: {{seal_for: {key}, most_bytes: 512}}\n")
    assert load_for_agent(path).snapshots is None
    path.write_text(f"snapshots: {{seal_for: {key}, most_bytes: 512}}\nlogging: {{events: {{store_args: true}}}}\n")
    found = load_for_agent(path).snapshots
    assert found is not None
    assert (key, 512) == (found.seal_for, found.most_bytes)
