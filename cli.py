"""The command line: one vocabulary for people, scripts and tests. Each command is in `commands/`."""

from __future__ import annotations

import importlib
import inspect

import typer

from .commands.exits import Reporting

app = typer.Typer(
    name="runwatch",
    cls=Reporting,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Watches fleets of AI agents while they run: finds loops and drift on the stream, "
        "and answers any question about a run in SQL.\n\n"
        "Begin with [bold]runwatch demo[/bold], or [bold]runwatch up[/bold] and "
        "[bold]runwatch import runs.jsonl[/bold]."
    ),
)

_MODULES = (
    "demo",
    "stack",
    "ingest",
    "ask",
    "show",
    "replay",
    "backtest",
    "rules",
    "config_file",
    "control",
    "alerts",
    "snapshots",
    "deadletter",
    "run",
    "doctor",
    "console",
    "bench",
)
for _module in _MODULES:
    importlib.import_module(f".commands.{_module}", __package__).register(app)

for _command in app.registered_commands:
    # Typer would break the help where the source does.
    _paragraphs = inspect.cleandoc(_command.callback.__doc__ or "").split("\n\n")
    _command.help = "\n\n".join(" ".join(one.split("\n")) for one in _paragraphs)


def run() -> None:
    """Runs the command line and exits: 0 done, 1 done but something was refused or found, 2 wrong use, 3 something
    that it needs is away."""
    app()
