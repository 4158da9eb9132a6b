"""`runwatch rules`: the rules in force, as YAML; and whether a file of rules does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import config
from .exits import MISUSED, Fail
from .output import counted

if TYPE_CHECKING:
    from ..processors.rules import Rules
    from ..settings.section import Section


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(rules)


def rules(
    file: Annotated[Path | None, typer.Option(help="Print the rules of this file, in place of RUNWATCH_RULES.")] = None,
    check: Annotated[Path | None, typer.Option(help="Say what is wrong in this file, and print nothing else.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Print the defaults, whatever is set.")] = False,
) -> None:
    """Print the rules in force as YAML, every setting with what it means: the defaults, or what RUNWATCH_RULES names.

    A file need only hold what differs. With --check each mistake is told with its line and column, and the exit
    code is 2.

    Example: [bold]runwatch rules --check rules.yaml[/bold]
    """
    if sum((file is not None, check is not None, default)) > 1:
        raise Fail("Give one of --file, --check and --default.", MISUSED)
    if check is not None:
        print(f"{check} is good: {said_differing(load_rules(check))}.")
        return
    from ..settings.text import text

    chosen = file if file is not None else None if default else config.load().rules
    print(text(load_rules(chosen)), end="")


def load_rules(path: Path | None) -> Rules:
    """The rules of the file, or the defaults for None; ends the command where the file does not do."""
    from ..processors.rules_file import load
    from ..settings.load import SettingsError

    try:
        return load(path)
    except SettingsError as error:
        raise Fail(error.sentences, MISUSED) from error


def said_differing(section: Section) -> str:
    """What of a file's settings is not at its default, for a person."""
    from ..settings.setting import differing

    names = differing(section)
    if not names:
        return "every setting is at its default"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{counted(len(names), 'setting')} not at {'its' if len(names) == 1 else 'their'} default, {shown}"
