"""`runwatch config`: the settings in force, as YAML; and whether a config file does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import config as environment
from .exits import MISUSED, Fail
from .output import say
from .rules import said_differing

if TYPE_CHECKING:
    from ..settings.file import Config


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(config)


def config(
    file: Annotated[Path | None, typer.Option(help="Print what this file says, in place of RUNWATCH_CONFIG.")] = None,
    check: Annotated[Path | None, typer.Option(help="Say what is wrong in this file, and print nothing else.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Print the safe defaults, whatever is set.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, without the sentences.")] = False,
) -> None:
    """Print the settings in force as YAML, each with what it means: the safe defaults, or what RUNWATCH_CONFIG names.

    One file for agents, workers and the sink: what is sent, budgets, tools, the kill switch, what anomalies lead to,
    who is told, and how long it is kept. It need only hold what differs. With --check each mistake is told with its
    line and column, and the exit code is 2; of a good file, what nobody will see because of it. Secrets are masked.

    Example: [bold]runwatch config --check runwatch.yaml[/bold]
    """
    if sum((file is not None, check is not None, default)) > 1:
        raise Fail("Give one of --file, --check and --default.", MISUSED)
    if check is not None:
        found = load_config_file(check)
        print(f"{check} is good: {said_differing(found)}.")
        for sentence in found.notes():
            say(sentence)
        return
    from ..settings.text import text

    chosen = file if file is not None else None if default else environment.load().config
    found = load_config_file(chosen)
    print(json.dumps(found.model_dump(mode="json"), indent=2) if as_json else text(found), end="\n" if as_json else "")


def load_config_file(path: Path | None) -> Config:
    """The settings of the file, or the defaults for None; ends the command where the file does not do."""
    from ..settings.file import load_config
    from ..settings.load import SettingsError

    try:
        return load_config(path)
    except SettingsError as error:
        raise Fail(error.sentences, MISUSED) from error
