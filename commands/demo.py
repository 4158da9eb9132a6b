"""`runwatch demo`: the stack, a simulated fleet, the incident, the story."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from .. import config
from .exits import FOUND
from .output import console, notes
from .stack import print_endpoints


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Begin here")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop the stack at the end, instead of leaving it up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary on one line, and nothing else.")] = False,
    history: Annotated[int, typer.Option(min=20, max=600, help="Quiet minutes before the incident.")] = 30,
    minutes: Annotated[int, typer.Option(min=12, max=120, help="Minutes of the incident.")] = 16,
    speed: Annotated[float, typer.Option(min=1, max=600, help="How many times real time the incident passes.")] = 60.0,
) -> None:
    """Watch a fleet of simulated agents run into an incident: a tool begins to fail, retries were raised, runs loop.

    Starts the local stack if it is not up, and leaves it up to be looked at until Ctrl-C. With --json, the summary is
    {"events": {"sent", "stored"}, "runs", "anomalies": […], "incident": {"onset_ms", "seen": {rule: ms}}, "seconds"};
    times are event times in milliseconds since the epoch. Exits with 1 if the incident was not seen, or an event was
    not stored.

    Example: [bold]runwatch demo --once --json[/bold]
    """
    from ..stack import lifecycle
    from ..stack.services import Options
    from .story import Plan, Story

    began = time.monotonic()
    out = notes if as_json else console
    settings = config.Settings()
    already_up = lifecycle.status(settings.home).up
    if not already_up:
        out.print("Starting Kafka, ClickHouse, the processors and the sink.")
        options = Options(settings.home, prefix=settings.prefix, partitions=settings.partitions)
        endpoints = lifecycle.up(options, lambda line: out.print(f"  {line}", highlight=False), detach=True)
        if not as_json:
            print_endpoints(endpoints, time.monotonic() - began)
    try:
        story = Story(config.load(), Plan(history, minutes, speed), out)
        summary = story.tell()
        summary["seconds"] = round(time.monotonic() - began, 1)
        if as_json:
            print(json.dumps(summary, ensure_ascii=False), flush=True)
        if not once:
            _stay(already_up)
    finally:
        if not already_up:
            out.print("Stopping the stack. What it stored stays; `runwatch up` brings it back.")
            lifecycle.down(settings.home)
    stored = summary["events"]["stored"] == summary["events"]["sent"]
    if not stored or not summary["incident"]["seen"]:
        raise typer.Exit(FOUND)


def _stay(already_up: bool) -> None:
    """Waits for Ctrl-C, if the stack is ours."""
    if already_up:
        return
    notes.print("\nThe stack stays up until Ctrl-C. Ask it from another terminal, in this folder.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        notes.print()
