"""`runwatch import`: recorded runs into the event topic."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .. import config
from .exits import AWAY, FOUND, MISUSED, Fail
from .output import console, counted, say
from .progress import LateBar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..producers.rejects import Reject


class InputFormat(StrEnum):
    """What a file of recorded runs holds."""

    events = "events"
    openai_messages = "openai-messages"


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("import", rich_help_panel="Record")(import_)


def import_(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Plain or gzip; `-` for standard input.")],
    form: Annotated[InputFormat, typer.Option("--format", "-f", help="What the files hold.")] = InputFormat.events,
    agent: Annotated[str | None, typer.Option(help="The agent's name, for chat transcripts that tell none.")] = None,
) -> None:
    """Send recorded runs into the event topic: event JSON lines, or OpenAI chat transcripts.

    A line that is no event is told with its file and number, and kept in FILE.rejected.jsonl; the good ones go on,
    and the exit code is 1. The same file twice is stored once.

    Example: [bold]runwatch import runs.jsonl.gz[/bold]
    """
    from ..producers.importer import ImportingError, import_files
    from ..producers.reading import ReadingError

    settings = config.load()
    with LateBar("importing") as bar:
        try:
            report = import_files(
                files,
                kafka=settings.kafka,
                prefix=settings.prefix,
                registry=settings.registry,
                form=form.value,
                agent=agent,
                kafka_config=settings.kafka_client(),
                progress=bar.set,
            )
        except ReadingError as error:
            raise Fail(str(error), MISUSED) from error
        except ImportingError as error:
            raise Fail(str(error), AWAY) from error
    console.print(
        f"{counted(report.delivered, 'event')} of {counted(report.runs, 'run')} sent to {settings.topic('events')} "
        f"in {report.seconds:.1f} s.",
        highlight=False,
        markup=False,
    )
    if report.failed:
        say(f"The broker refused {counted(report.failed, 'event')}.", "red")
    report_rejects(report.rejects, report.rejected, report.rejected_files)
    if not report.is_whole:
        raise typer.Exit(FOUND)


def report_rejects(shown: Sequence[Reject], count: int, files: Sequence[Path] = ()) -> None:
    """Tells of lines that were no events: the first ones, how many in all, and where they are kept."""
    for reject in shown:
        say(str(reject))
    if count > len(shown):
        say(f"… and {count - len(shown):,} more.")
    if count:
        kept = f" Kept in {', '.join(str(path) for path in files)}: mend and import that." if files else ""
        say(f"{counted(count, 'line')} held no event.{kept}", "yellow")
