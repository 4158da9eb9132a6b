"""`runwatch up`, `down`, `status` and `logs`: the local stack."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .. import config
from .exits import FOUND
from .output import Format, FormatOption, console, notes, print_rows

_STATUS = ("service", "state", "ready", "pid", "uptime", "restarts", "memory", "endpoint")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (up, down, status, logs):
        app.command(rich_help_panel="The local stack")(command)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back once it is ready; `down` ends it.")] = False,
    kafka_port: Annotated[int | None, typer.Option(help="Kafka's port; else 9092, or a free one.")] = None,
    clickhouse_port: Annotated[int | None, typer.Option(help="ClickHouse's port; else 8123, or a free one.")] = None,
    registry_port: Annotated[int | None, typer.Option(help="The registry's port; else 8081, or a free one.")] = None,
) -> None:
    """Start the local stack: Kafka, ClickHouse, a schema registry, the processors and the sink.

    Everything it writes is in .runwatch, or in RUNWATCH_HOME. Ctrl-C stops all of it.

    Example: [bold]runwatch up --detach[/bold]
    """
    from ..stack import lifecycle
    from ..stack.services import Options

    settings = config.Settings()
    options = Options(
        settings.home,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        registry_port=registry_port,
        prefix=settings.prefix,
        partitions=settings.partitions,
        clickhouse_user=settings.clickhouse_user,
        clickhouse_password=settings.clickhouse_password.get_secret_value(),
    )
    started = time.monotonic()
    endpoints = lifecycle.up(options, _say, detach=detach)
    if detach:
        print_endpoints(endpoints, time.monotonic() - started)


def print_endpoints(endpoints: dict[str, str], seconds: float) -> None:
    """Where the servers are."""
    console.print(f"[bold]Up[/bold] after {seconds:.1f} s.", highlight=False)
    for name, place in endpoints.items():
        console.print(f"  {name:<11} {place}", highlight=False)


def down() -> None:
    """Stop the local stack. What it stored stays in its folder.

    Example: [bold]runwatch down[/bold]
    """
    from ..stack import lifecycle

    home = config.Settings().home
    if lifecycle.down(home, _say):
        console.print("Stopped.")
    else:
        console.print(f"No local stack is up in {home}.", highlight=False)


def status(form: FormatOption = Format.table) -> None:
    """Tell how the local stack is: what runs, what answers, what it takes.

    Exits with 1 if something is wrong, or nothing is up.

    Example: [bold]runwatch status --format json[/bold]
    """
    from ..stack import lifecycle

    found = lifecycle.status(config.Settings().home)
    rows = [
        {
            "service": one.name,
            "state": one.state,
            "ready": {True: "yes", False: "no", None: ""}[one.ready],
            "pid": one.pid,
            "uptime": "" if one.uptime_s is None else _span(one.uptime_s),
            "restarts": one.restarts,
            "memory": "" if one.rss_mb is None else f"{one.rss_mb:.0f} MB",
            "endpoint": one.endpoint,
        }
        for one in found.services
    ]
    if form in (Format.json, Format.jsonl):
        rows = [asdict(one) for one in found.services]
    print_rows(rows, _STATUS, form, f"No local stack is up in {found.home}: [bold]runwatch up[/bold] starts one.")
    if rows and form is Format.table:
        console.print(f"{found.rss_mb:.0f} MB in all.", highlight=False)
    if not found.ready or any(one.state != "running" or one.ready is False for one in found.services):
        raise typer.Exit(FOUND)


def logs(
    name: Annotated[
        str | None, typer.Argument(help="Whose: kafka, clickhouse, processors, sink …; all by default.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on as more is written; needs a name.")] = False,
) -> None:
    """Show what the local stack's services wrote.

    Example: [bold]runwatch logs processors --follow[/bold]
    """
    from ..stack import logs as files
    from ..stack.home import Home

    home = Home(Path(config.Settings().home))
    if follow:
        if name is None:
            raise typer.BadParameter("to follow, name one service")
        for line in files.follow(home, name, lines):
            print(line, flush=True)
        return
    chosen = [name] if name else files.names(home)
    if not chosen:
        notes.print("No logs yet: [bold]runwatch up[/bold] starts the stack.")
    for one in chosen:
        path = files.check(home, one)
        if name is None:
            console.rule(one, align="left")
        for line in files.tail(path, lines):
            print(line)


def _say(line: str) -> None:
    notes.print(line, highlight=False, markup=False)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
