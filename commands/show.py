"""`runwatch show`: one run's answers to the five questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from .. import config
from .exits import FOUND, Fail
from .output import SHORT_HASH, Format, WholeFormat, console, counted, print_json, print_rows
from .reader import open_reader
from .table import visible

if TYPE_CHECKING:
    from ..sinks.query import Story

_CALLS = ("seq", "tool", "args_sha", "status", "error", "http_status", "result_sha", "duration_ms", "attempt", "again")
_ALWAYS = frozenset(("seq", "tool", "args_sha", "status", "result_sha"))
_VERSIONS = ("seq", "agent", "agent_version", "model", "prompt_sha", "tools_sha")
_USAGE = ("tool_calls", "input_tokens", "output_tokens", "cost_usd")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(show)


def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The run, as `runwatch runs` lists it.")],
    form: Annotated[WholeFormat, typer.Option("--format", "-f", help="How to print it.")] = WholeFormat.table,
) -> None:
    """Answer the five questions about a run.

    Which tools were called, in which order? With which arguments? What came back? Which model, prompt and tool set
    ran? Why did it stop? Hashes are shortened; as JSON they are whole.

    Example: [bold]runwatch show 0192d1c4-7a3e-7cc1-9a55-5d1f0c3b2a10[/bold]
    """
    story = open_reader(config.load()).show(run_id)
    if story is None:
        raise Fail(f"No event of run {run_id} is stored; `runwatch runs` lists the latest ones.", FOUND)
    if form is WholeFormat.table:
        _print(story)
    elif form is WholeFormat.json:
        print_rows([_plain(story)], (), Format.json, "")
    else:
        print_json(_plain(story))


def _plain(story: Story) -> dict[str, Any]:
    return {
        "run": story.run,
        "calls": story.calls,
        "versions": story.versions,
        "stop": story.stop,
        "anomalies": story.anomalies,
    }


def _print(story: Story) -> None:
    run = story.run
    _line(f"Run {run['run_id']}", "bold")
    _line(f"{run['agent']}, {run['started_at']:%Y-%m-%d %H:%M:%S} UTC, {counted(run['steps'], 'step')}")
    if run["missing_events"]:
        _line(f"{counted(run['missing_events'], 'event')} of it never arrived: what follows has gaps.", "yellow")

    _question("1 to 3", "Which tools were called, in which order, with which arguments, and what came back?")
    calls = _told(story.calls)
    columns = [name for name in _CALLS if name in _ALWAYS or any(call[name] is not None for call in calls)]
    print_rows(calls, columns, Format.table, "It called none.", spare=("http_status", "attempt", "duration_ms"))

    _question("4", "Which versions ran?")
    versions = [_shortened(row, "prompt_sha", "tools_sha") for row in story.versions]
    known = [name for name in _VERSIONS if name == "seq" or any(row[name] is not None for row in versions)]
    print_rows(versions, known, Format.table, "Unknown.")
    if unknown := [name for name in _VERSIONS if name not in known]:
        _line(f"Not recorded: {', '.join(unknown)}.", "dim")

    _question("5", "Why did it stop?")
    if story.stop is None:
        _line("It has not stopped, as far as is stored.")
    else:
        usage = ", ".join(f"{name} {run[name]:.6g}" for name in _USAGE if run[name] is not None)
        outcome = "" if run["outcome"] is None else f" Outcome {run['outcome']:.6g}."
        _line(f"{story.stop['stop_reason']}, after {run['duration_ms'] / 1000:.1f} s.{outcome}")
        _line(f"Used: {usage or 'unknown'}.")

    if story.anomalies:
        _question("!", "What was found in it?")
        for one in story.anomalies:
            _line(f"{one['severity']} {one['rule']}: {one['message']}")


def _told(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls with short hashes, a first try left out, and which earlier call each repeats, arguments and all."""
    first: dict[tuple[Any, Any], int] = {}
    told = []
    for call in calls:
        key = (call["tool"], call["args_sha"])
        known = first.setdefault(key, call["seq"]) if call["args_sha"] else call["seq"]
        row = _shortened(call, "args_sha", "result_sha")
        row["again"] = None if known == call["seq"] else f"as {known}"
        row["attempt"] = None if call["attempt"] == 1 else call["attempt"]
        told.append(row)
    return told


def _shortened(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return row | {name: row[name][:SHORT_HASH] for name in names if row[name]}


def _question(number: str, text: str) -> None:
    console.print()
    _line(f"{number}  {text}", "bold cyan")


def _line(text: str, style: str = "") -> None:
    console.print(Text(visible(text), style=style), soft_wrap=True)
