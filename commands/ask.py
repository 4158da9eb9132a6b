"""`runwatch sql`, `runs`, `show` and `anomalies`: questions to what is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from .. import config
from .exits import FOUND, MISUSED, Fail
from .follow import AnomalyFeed
from .output import Format, FormatOption, console, notes, print_rows

if TYPE_CHECKING:
    from ..sinks.query import Story

_RUNS = (
    "run_id",
    "agent",
    "agent_version",
    "started_at",
    "steps",
    "tool_calls",
    "cost_usd",
    "stop_reason",
    "anomalies",
)
_ANOMALIES = ("opened", "rule", "state", "severity", "agent", "run_id", "message")
_CALLS = ("seq", "step_id", "tool", "args_sha", "status", "error", "result_sha", "duration_ms", "attempt")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (sql, runs, show, anomalies):
        app.command(rich_help_panel="Ask")(command)


def sql(
    query: Annotated[str, typer.Argument(help="Any ClickHouse query; runwatch's views need no prefix.")],
    form: FormatOption = Format.table,
) -> None:
    """Ask ClickHouse anything. Views: events, runs, window_metrics, anomalies, agent_runs, control_log.

    Example: [bold]runwatch sql "SELECT agent, count() FROM runs GROUP BY agent"[/bold]
    """
    from ..sinks.clickhouse import StoreRefused
    from ..sinks.query import Reader

    try:
        table = Reader(config.load()).sql(query)
    except StoreRefused as error:
        raise Fail(str(error), MISUSED) from error
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    print_rows(rows, table.columns, form, "The query has no rows.")


def runs(
    agent: Annotated[str, typer.Option(help="Of this agent alone.")] = "",
    stop_reason: Annotated[str, typer.Option(help="Such as stopped for this reason.")] = "",
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Such as have not stopped.")] = False,
    anomalous: Annotated[bool, typer.Option("--anomalous", help="Such as something was found in.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    form: FormatOption = Format.table,
) -> None:
    """List the latest runs, newest first.

    Example: [bold]runwatch runs --anomalous --limit 5[/bold]
    """
    from ..sinks.query import Reader

    rows = Reader(config.load()).runs(
        limit, agent=agent, stop_reason=stop_reason, unfinished=unfinished, anomalous=anomalous
    )
    columns = _RUNS if form is Format.table or not rows else tuple(rows[0])
    print_rows(rows, columns, form, "No such runs are stored.")


def anomalies(
    agent: Annotated[str, typer.Option(help="Of this agent alone.")] = "",
    rule: Annotated[str, typer.Option(help="Of this rule alone, such as loop.repeat.")] = "",
    run_id: Annotated[str, typer.Option("--run", help="Of this run alone.")] = "",
    unresolved: Annotated[bool, typer.Option("--open", help="Such as are not resolved.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Print each as it is found, from now on.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    form: FormatOption = Format.table,
) -> None:
    """List the anomalies, newest first; or follow them on the stream.

    Example: [bold]runwatch anomalies --follow --format jsonl[/bold]
    """
    from ..sinks.query import Reader

    settings = config.load()
    if follow:
        _follow(settings, agent, rule, run_id, form)
        return
    rows = Reader(settings).anomalies(limit, agent=agent, rule=rule, run_id=run_id, unresolved=unresolved)
    columns = _ANOMALIES if form is Format.table or not rows else tuple(rows[0])
    print_rows(rows, columns, form, "No such anomalies are stored.")


def _follow(settings: config.Settings, agent: str, rule: str, run_id: str, form: Format) -> None:
    if form not in (Format.table, Format.jsonl):
        raise typer.BadParameter("what is followed is printed as a table's lines or as jsonl")
    with AnomalyFeed(settings) as feed:
        notes.print("Following the anomalies; Ctrl-C ends it.")
        for one in feed.read(lambda: False):
            if (agent and one.agent != agent) or (rule and one.rule != rule) or (run_id and one.run_id != run_id):
                continue
            if form is Format.jsonl:
                print(json.dumps(one.report(), ensure_ascii=False), flush=True)
            else:
                print(f"{one.severity:<8} {one.state:<9} {one.rule:<26} {one.agent}: {one.message}", flush=True)


def show(
    run_id: Annotated[str, typer.Argument(help="The run.")],
    form: Annotated[Format, typer.Option("--format", "-f", help="table, or json.")] = Format.table,
) -> None:
    """Answer the five questions about a run: which tools in which order, with which arguments, what came back,
    which versions ran, and why it stopped.

    Example: [bold]runwatch show 0192d1c4-…[/bold]
    """
    from ..sinks.query import Reader

    story = Reader(config.load()).show(run_id)
    if story is None:
        raise Fail(f"No event of run {run_id} is stored; `runwatch runs` lists the latest ones.", FOUND)
    if form is not Format.table:
        print_rows([_json_story(story)], (), Format.json if form is Format.csv else form, "")
        return
    _print_story(story)


def _json_story(story: Story) -> dict[str, Any]:
    return {
        "run": story.run,
        "calls": story.calls,
        "versions": story.versions,
        "stop": story.stop,
        "anomalies": story.anomalies,
    }


def _print_story(story: Story) -> None:
    run = story.run
    console.print(Text(f"Run {run['run_id']}", style="bold"))
    console.print(Text(f"{run['agent']}, {run['started_at']:%Y-%m-%d %H:%M:%S} UTC, {run['steps']} steps"))
    _question("1 to 3", "Which tools were called, in which order, with which arguments, and what came back?")
    repeated = {(call["tool"], call["args_sha"]) for call in _again(story.calls)}
    calls = [
        {**call, "again": "again" if (call["tool"], call["args_sha"]) in repeated else None} for call in story.calls
    ]
    print_rows(calls, (*_CALLS, "again"), Format.table, "It called none.")
    _question("4", "Which versions ran?")
    print_rows(
        story.versions, ("seq", "agent", "agent_version", "model", "prompt_sha", "tools_sha"), Format.table, "Unknown."
    )
    _question("5", "Why did it stop?")
    if story.stop is None:
        console.print("It has not stopped, as far as is stored.")
    else:
        usage = {name: run[name] for name in ("tool_calls", "input_tokens", "output_tokens", "cost_usd")}
        known = ", ".join(f"{name} {value:.6g}" for name, value in usage.items() if value is not None)
        console.print(Text(f"{story.stop['stop_reason']} after {run['duration_ms']} ms; {known or 'usage unknown'}"))
    if story.anomalies:
        _question("!", "What was found in it?")
        for one in story.anomalies:
            console.print(Text(f"{one['severity']} {one['rule']}: {one['message']}"))


def _again(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls that stand more than once, arguments and all."""
    seen: set[tuple[Any, Any]] = set()
    found = []
    for call in calls:
        key = (call["tool"], call["args_sha"])
        if key in seen and call["args_sha"]:
            found.append(call)
        seen.add(key)
    return found


def _question(number: str, text: str) -> None:
    console.print()
    console.print(Text(f"{number}  {text}", style="bold cyan"))
