"""`runwatch doctor`: what is wrong with a deployment, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ... import config
from ..exits import AWAY, FOUND
from ..output import Format, FormatOption, console, counted, print_rows
from ..table import visible
from .finding import Level

if TYPE_CHECKING:
    from .finding import Finding

_COLUMNS = ("check", "level", "where", "what", "mend")
_STYLES = {Level.warning: "yellow", Level.error: "red", Level.away: "red", Level.note: "cyan"}


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Run")(doctor)


def doctor(form: FormatOption = Format.table) -> None:
    """Look a deployment over: what is wrong, where, and how to mend it.

    Packages, brokers, topics (partitions, copies, retention), who reads them and how far they are behind, clocks,
    disks, schemas, held topics, and ClickHouse's tables. Changes nothing; one empty message is sent to agent.health,
    since a broker tells the time by messages alone. Exits with 1 if something should be mended, and with 3 if
    Kafka or ClickHouse does not answer.

    Example: [bold]runwatch doctor --format json[/bold]
    """
    findings = list(examine(config.load()))
    if form is Format.table:
        _print(findings)
    else:
        print_rows([asdict(one) | {"level": one.level.value} for one in findings], _COLUMNS, form, "")
    levels = {one.level for one in findings}
    if Level.away in levels:
        raise typer.Exit(AWAY)
    if levels & {Level.warning, Level.error}:
        raise typer.Exit(FOUND)


def examine(settings: config.Settings) -> Iterator[Finding]:
    """Everything that is found, in the order in which it is looked at."""
    from confluent_kafka import KafkaException

    from . import held, kafka, machine, schemas, store

    yield from machine.look(settings)
    try:
        for found in kafka.look(settings, kafka.Broker(settings)):
            if isinstance(found, list):
                yield from schemas.look(settings, found)
                yield from held.look(settings)
            else:
                yield found
    except KafkaException as error:
        yield kafka.unanswered(settings, error.args[0].str())
    yield from store.look(settings)


def _print(findings: list[Finding]) -> None:
    for one in findings:
        _line(f"{one.level.value:<8}{one.check}: {one.where}: {one.what}", _STYLES.get(one.level, ""))
        if one.mend:
            _line(f"        mend: {one.mend}", "dim")
    bad = sum(one.level in (Level.error, Level.away) for one in findings)
    soon = sum(one.level is Level.warning for one in findings)
    _line(f"{counted(len(findings), 'finding')}: {counted(bad, 'error')}, {counted(soon, 'warning')}.")


def _line(text: str, style: str = "") -> None:
    console.print(visible(text), style=style, highlight=False, markup=False, soft_wrap=True)
