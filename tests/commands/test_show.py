"""`show`: the five questions, in order, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Cli = Callable[..., Any]

QUESTIONS = (
    "1 to 3  Which tools were called, in which order, with which arguments, and what came back?",
    "4  Which versions ran?",
    "5  Why did it stop?",
    "!  What was found in it?",
)


def test_the_five_questions_in_order(cli: Cli, reader: Any) -> None:
    done = cli("show", "run-1")
    assert (0, "") == (done.code, done.err)
    assert (
        """\
Run run-1
support, 2026-03-01 12:00:01 UTC, 3 steps

1 to 3  Which tools were called, in which order, with which arguments, and what came back?
seq  tool      args_sha  status  error      result_sha  duration_ms  attempt  again
  1  http.get  aaaaaaaa  ok                 bbbbbbbb             10
  2  http.get  cccccccc  error   HTTPError  bbbbbbbb             10        2
  3  http.get  aaaaaaaa  ok                 bbbbbbbb             10           as 1

4  Which versions ran?
seq  agent    agent_version  model
  0  support  1.4            m
Not recorded: prompt_sha, tools_sha.

5  Why did it stop?
loop_detected, after 2.8 s. Outcome 0.5.
Used: tool_calls 3, input_tokens 120, cost_usd 0.0125.

!  What was found in it?
critical loop.repeat: http.get was called 4 times.
"""
        == done.out
    )


def test_json_has_the_whole_hashes(cli: Cli, reader: Any) -> None:
    (one,) = json.loads(cli("show", "run-1", "--format", "json").out)
    assert ["run", "calls", "versions", "stop", "anomalies"] == list(one)
    assert ["a" * 24, "c" * 24, "a" * 24] == [call["args_sha"] for call in one["calls"]]
    assert one == json.loads(cli("show", "run-1", "--format", "jsonl").out)


def test_little_is_known(cli: Cli, reader: Any, tell_story: Any, a_version: Any) -> None:
    run = reader.runs_[0] | {
        "missing_events": 2, "outcome": None, "steps": 1,
        **dict.fromkeys(("tool_calls", "input_tokens", "output_tokens", "cost_usd")),
    }  # fmt: skip
    reader.stories = {"r": tell_story(run=run, calls=[], versions=[a_version(4)], stop=None, anomalies=[])}
    done = cli("show", "r")
    assert 0 == done.code
    assert "1 step\n2 events of it never arrived: what follows has gaps.\n" in done.out
    assert "It called none." in done.err
    assert "It has not stopped, as far as is stored.\n" in done.out
    assert "What was found" not in done.out
    reader.stories = {"r": tell_story(run=run, stop={"stop_reason": "unknown"})}
    assert "unknown, after 2.8 s.\nUsed: unknown.\n" in cli("show", "r").out


def test_names_are_text(cli: Cli, reader: Any, tell_story: Any, a_call: Any, a_version: Any, nasty: str) -> None:
    shown = r"[red]\x1b[31m<b>\r\x07[/red]"
    run = reader.runs_[0] | {"run_id": nasty, "agent": nasty}
    reader.stories = {
        "r": tell_story(
            run=run,
            calls=[a_call(1, tool=nasty, error=nasty)],
            versions=[a_version(0, model=nasty)],
            stop={"stop_reason": nasty},
            anomalies=[{"severity": "warning", "rule": nasty, "message": nasty}],
        )
    }
    out = cli("show", "r").out
    assert 8 == out.count(shown)
    assert "\x1b" not in out


def test_an_unknown_run(cli: Cli, reader: Any) -> None:
    done = cli("show", "no\x1bsuch")
    expected = "No event of run no\\x1bsuch is stored; `runwatch runs` lists the latest ones.\n"
    assert (1, "", expected) == tuple(vars(done).values())


def test_a_call_without_arguments_repeats_nothing(cli: Cli, reader: Any, tell_story: Any, a_call: Any) -> None:
    reader.stories = {"r": tell_story(calls=[a_call(1, args_sha=None), a_call(2, args_sha=None)])}
    assert "again" not in cli("show", "r").out
