"""`config`: the settings in force, and whether a file does; and where a file that does not is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
WRONG = "budgets: {stepps: 3}\nretention:\n  logs_days: 1w\n"
TOLD = [
    "own.yaml:1:11: guardrails.budgets.stepps is not a setting; did you mean guardrails.budgets.steps?",
    "own.yaml:3:14: retention.logs_days is '1w'; it must be a whole number from 1 to 3660 (the default is 30).",
]


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "own.yaml"
    path.write_text("retention: {logs_days: 7}\nlogging: {events: {store_args_hash: false}}\n")
    return path


def test_the_settings_in_force(cli: Cli, file: Path) -> None:
    default = cli("config")
    assert (0, "", True) == (default.code, default.err, "  logs_days: 30\n" in default.out)
    own = cli("config", "--file", "own.yaml")
    assert "  logs_days: 7  # default: 30\n" in own.out
    assert own == cli("config", RUNWATCH_CONFIG="own.yaml")
    assert default == cli("config", "--default", RUNWATCH_CONFIG="own.yaml")


def test_as_json(cli: Cli, file: Path) -> None:
    found = json.loads(cli("config", "--json", RUNWATCH_CONFIG="own.yaml").out)
    assert {"tool_snapshot_days": 14, "logs_days": 7} == found["retention"]
    assert "1h" == found["guardrails"]["budgets"]["seconds"]


def test_what_is_printed_is_good(cli: Cli, home: Path) -> None:
    (home / "all.yaml").write_text(cli("config", "--default").out)
    assert (0, "all.yaml is good: every setting is at its default.\n", "") == tuple(
        vars(cli("config", "--check", "all.yaml")).values()
    )


def test_a_file_that_does_and_what_nobody_will_see(cli: Cli, file: Path) -> None:
    assert (
        0,
        "own.yaml is good: 2 settings not at their default, logging.events.store_args_hash, retention.logs_days.\n",
        "logging.events.store_args_hash is false: loops cannot be found, since no two calls can be compared.\n",
    ) == tuple(vars(cli("config", "--check", "own.yaml")).values())


@pytest.mark.parametrize("words", [("--check", "own.yaml"), ("--file", "own.yaml"), ("--json", "--file", "own.yaml")])
def test_a_file_that_does_not(words: tuple[str, ...], cli: Cli, file: Path) -> None:
    file.write_text(WRONG)
    said = cli("config", *words)
    assert (2, "", TOLD) == (said.code, said.out, said.err.splitlines())


@pytest.mark.parametrize("command", [("config",), ("process",), ("sink",), ("up",), ("kill", "fleet", "--why", "x")])
def test_whoever_goes_by_it_says_so_and_does_not_begin(command: tuple[str, ...], cli: Cli, file: Path) -> None:
    file.write_text(WRONG)
    said = cli(*command, RUNWATCH_CONFIG="own.yaml")
    assert (2, "", TOLD) == (said.code, said.out, said.err.splitlines())


def test_one_question_at_a_time(cli: Cli, file: Path) -> None:
    said = cli("config", "--default", "--check", "own.yaml")
    assert (2, "Give one of --file, --check and --default.\n") == (said.code, said.err)


def test_no_such_file(cli: Cli) -> None:
    said = cli("config", "--check", "none.yaml")
    assert (2, "The config file none.yaml cannot be read: No such file or directory.\n") == (said.code, said.err)


def test_no_secret_is_printed(cli: Cli, home: Path) -> None:
    (home / "own.yaml").write_text(
        "alerts:\n  receivers:\n"
        "    - {name: a, kind: slack, url: 'https://hooks.example/hush-1'}\n"
        "    - {name: b, kind: webhook, url: '${HOOK}', headers: {Authorization: Bearer hush-2}}\n"
        "    - {name: c, kind: email, host: h, sender: a@b, to: [c@d], user: u, password: hush-3}\n"
    )
    for words in (("config",), ("config", "--json"), ("config", "--check", "own.yaml")):
        said = cli(*words, RUNWATCH_CONFIG="own.yaml", HOOK="hush-4")
        assert (0, False) == (said.code, "hush" in said.out + said.err)
    printed = cli("config", RUNWATCH_CONFIG="own.yaml").out
    assert "url: ${HOOK}\n" in printed
    # What was masked is not taken for a secret when it is read again.
    (home / "again.yaml").write_text(printed)
    again = cli("config", "--check", "again.yaml")
    assert 2 == again.code
    assert ["url", "headers", "password"] == [
        line.split(" is masked")[0].rpartition(".")[2] for line in again.err.splitlines()
    ]
