"""`runwatch demo`: the stack, a simulated fleet, the incident, the story."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .. import config, endpoints
from .exits import FOUND, Fail
from .output import console, notes, print_json, say
from .stack import print_endpoints, stack_options, way_in

_CONFIG = """\
# What the stack of `runwatch demo` goes by. The policy is the default one, but for its cap of 100 runs an hour:
# in an hour of real time the demo's fleet lives {speed:g} hours.
policy:
  rules:
  - {{rule: loop.*, action: stop_run, severity: critical, most_runs_an_hour: {most}}}
  - {{rule: "*", action: notify, severity: warning}}
"""
CAP = 100
"""Runs that the default policy stops in an hour at most."""


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Begin here")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop the stack at the end, instead of leaving it up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary on one line, and nothing else.")] = False,
    history: Annotated[int, typer.Option(min=20, max=600, help="Quiet minutes before the incident.")] = 30,
    minutes: Annotated[int, typer.Option(min=12, max=120, help="Minutes of the incident.")] = 13,
    speed: Annotated[float, typer.Option(min=1, max=600, help="How many times real time the incident passes.")] = 45.0,
) -> None:
    """Watch a fleet of simulated agents run into an incident: a tool begins to fail, retries were raised, runs loop.

    Looping runs are stopped by the policy; at the end it is told what that saved. Starts the local stack if it is not
    up, and leaves it up to be looked at until Ctrl-C. With --json, the summary is {"events": {"sent", "stored"},
    "runs", "anomalies": […], "incident": {"onset_ms", "seen": {rule: ms}}, "stopped": {"runs", "calls",
    "calls_without", "cost_usd", "cost_usd_without", …}, "seconds"}; times are event times in milliseconds since the
    epoch, and without is what the same runs use that nobody stops. Exits with 1 if the incident was not seen, or an
    event was not stored.

    Example: [bold]runwatch demo --once --json[/bold]
    """
    from ..stack import lifecycle
    from .story import Plan, Story

    began = time.monotonic()
    out = notes if as_json else console
    settings = config.Settings()
    already_up = lifecycle.status(settings.home).up
    with _ended_by_signals():
        try:
            if not already_up:
                say("Starting Kafka, ClickHouse, the processors and the sink.")
                options = stack_options(_with_policy(settings, speed))
                with way_in(settings) as show_way_in:
                    found = lifecycle.up(options, lambda line: say(f"  {line}"), detach=True)
                    # Where nothing but the summary is to be printed, whoever wants in makes new tokens.
                    if not as_json:
                        print_endpoints(found, time.monotonic() - began)
                        show_way_in(found)
            page = endpoints.read(settings.home).get("console")
            story = Story(_on_the_stack(settings), Plan(history, minutes, speed), out, page)
            summary = story.tell()
            summary["seconds"] = round(time.monotonic() - began, 1)
            if as_json:
                print_json(summary)
            if not once and not already_up:
                _stay()
        finally:
            if not already_up and lifecycle.status(settings.home).up:
                say("Stopping the stack. What it stored stays; `runwatch up` brings it back.")
                lifecycle.down(settings.home)
    stored = summary["events"]["stored"] == summary["events"]["sent"]
    if not stored or not summary["incident"]["seen"]:
        raise typer.Exit(FOUND)


def _with_policy(settings: config.Settings, speed: float) -> config.Settings:
    """Settings with a policy that fits the fleet's pace, unless the user has a config file."""
    if settings.config is not None:
        return settings
    path = settings.home / "demo.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_CONFIG.format(speed=speed, most=round(CAP * speed)), encoding="utf-8")
    return settings.model_copy(update={"config": path})


def _on_the_stack(settings: config.Settings) -> config.Settings:
    """Settings that point at the local stack, whatever the environment says: simulated agents stay at home."""
    found = endpoints.read(settings.home)
    if not found:
        raise Fail("The local stack is only just starting; wait until `runwatch status` says that it runs.")
    return settings.model_copy(update={"kafka": found["kafka"], "clickhouse": found["clickhouse"], "registry": None})


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM and a closed terminal end the command as Ctrl-C does: the stack must not stay behind."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stay() -> None:
    """Waits for Ctrl-C."""
    say("")
    say("The stack stays up until Ctrl-C. Ask it from another terminal, in this folder.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("")
