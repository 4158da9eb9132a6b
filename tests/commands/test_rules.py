"""`rules`: the rules in force, and whether a file does; and where a file that does not is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
WRONG = "windows:\n  lenght: 2m\n  grace: 5\n"
TOLD = [
    "rules.yaml:2:3: windows.lenght is not a setting; did you mean windows.length?",
    "rules.yaml:3:10: windows.grace is 5 without a unit; it must be a duration of at least 0s, such as 90s, 10m or "
    "1.5h (the default is 10s).",
]


@pytest.fixture
def file(home: Path) -> Path:
    path = home / "rules.yaml"
    path.write_text("windows:\n  length: 2m\n")
    return path


def test_the_rules_in_force(cli: Cli, file: Path) -> None:
    default = cli("rules")
    assert (0, "", True) == (default.code, default.err, "  length: 1m\n" in default.out)
    own = cli("rules", "--file", "rules.yaml")
    assert "  length: 2m  # default: 1m\n" in own.out
    assert own == cli("rules", RUNWATCH_RULES="rules.yaml")
    assert default == cli("rules", "--default", RUNWATCH_RULES="rules.yaml")


def test_what_is_printed_is_good(cli: Cli, home: Path) -> None:
    (home / "all.yaml").write_text(cli("rules").out)
    assert (0, "all.yaml is good: every setting is at its default.\n", "") == tuple(
        vars(cli("rules", "--check", "all.yaml")).values()
    )


def test_a_file_that_does(cli: Cli, file: Path) -> None:
    said = cli("rules", "--check", "rules.yaml")
    assert (0, "rules.yaml is good: 1 setting not at its default, windows.length.\n", "") == tuple(vars(said).values())


@pytest.mark.parametrize("words", [("rules", "--check", "rules.yaml"), ("rules", "--file", "rules.yaml")])
def test_a_file_that_does_not(words: tuple[str, ...], cli: Cli, file: Path) -> None:
    file.write_text(WRONG)
    said = cli(*words)
    assert (2, "", TOLD) == (said.code, said.out, said.err.splitlines())


@pytest.mark.parametrize("command", ["rules", "process", "up"])
def test_whoever_goes_by_them_says_so_and_does_not_begin(command: str, cli: Cli, file: Path) -> None:
    file.write_text(WRONG)
    said = cli(command, RUNWATCH_RULES="rules.yaml")
    assert (2, "", TOLD) == (said.code, said.out, said.err.splitlines())


def test_no_such_file(cli: Cli) -> None:
    said = cli("rules", "--check", "none.yaml")
    assert (2, "The rules file none.yaml cannot be read: No such file or directory.\n") == (said.code, said.err)


def test_one_thing_at_a_time(cli: Cli, file: Path) -> None:
    said = cli("rules", "--check", "rules.yaml", "--default")
    assert (2, "Give one of --file, --check and --default.\n") == (said.code, said.err)
