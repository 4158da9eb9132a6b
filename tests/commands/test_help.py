"""Help that teaches: every command has a summary and an example that is really it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import typer

from runwatch.cli import app

COMMANDS = {
    "demo", "up", "down", "status", "logs", "import", "sql", "runs", "anomalies", "show", "backtest", "process",
    "sink", "bench", "rules", "alert", "alerts", "silence", "config", "kill", "allow", "approve", "control", "replay",
    "snapshots", "console", "doctor",
}  # fmt: skip


def test_these_are_the_commands() -> None:
    assert COMMANDS == {name.rstrip("_") for name in _names()}


def _names() -> list[str]:
    return [str(one.name or getattr(one.callback, "__name__", "")) for one in app.registered_commands]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_has_an_example_that_its_own_parser_takes(name: str, cli: Callable[..., Any]) -> None:
    said = cli(name, "--help", COLUMNS="100", TERMINAL_WIDTH="100")
    assert (0, "") == (said.code, said.err)
    found = re.search(r"Example: (?P<example>[^│╭]*)", said.out)
    assert found is not None
    example = " ".join(found["example"].split())
    words = re.sub(r"^(RUNWATCH_\w+=\S+ )?runwatch ", "", example)
    assert words.split()[0] == name
    command: Any = typer.main.get_command(app)
    _split_and_parse(command, words)


def _split_and_parse(group: Any, words: str) -> None:
    import shlex

    name, *arguments = shlex.split(words)
    context = group.commands[name].make_context(name, arguments)
    assert context.info_name == name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_of_commands_has_each_in_a_line_or_two(name: str, cli: Callable[..., Any]) -> None:
    said = cli("--help", COLUMNS="80", TERMINAL_WIDTH="80")
    rows = said.out.splitlines()
    at = next(number for number, row in enumerate(rows) if row.startswith(f"│ {name} "))
    after = [row for row in rows[at + 1 : at + 4] if row.startswith("│     ")]
    assert len(after) <= 2
    assert re.search(rf"│ {name}\s+[A-Z]", rows[at])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nosuch",), "No such command 'nosuch'"),
        (("runs", "--format", "xml"), "'xml' is not one of"),
        (("runs", "--limit", "0"), "greater than or equal to 1"),
        (("import",), "Missing argument"),
        (("up", "--kafka-port", "99999"), "less than or equal to 65535"),
        (("show", "x", "--format", "csv"), "'csv' is not one of"),
        (("demo", "--minutes", "1"), "greater than or equal to 12"),
    ],
    ids=str,
)
def test_wrong_use_is_exit_code_2(arguments: tuple[str, ...], said: str, cli: Callable[..., Any]) -> None:
    done = cli(*arguments, COLUMNS="200", TERMINAL_WIDTH="200")
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Try 'runwatch" in done.err
