"""`runwatch sql`, `runs` and `anomalies`: questions to what is stored."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from .. import config
from .exits import MISUSED, Fail
from .follow import AnomalyFeed
from .output import Format, FormatOption, print_json, print_rows, say
from .progress import LateBar
from .reader import open_reader
from .table import visible

_RUNS = (
    "started_at",
    "agent",
    "agent_version",
    "steps",
    "tool_calls",
    "duration_ms",
    "cost_usd",
    "stop_reason",
    "anomalies",
    "run_id",
)
_ANOMALIES = ("opened", "severity", "rule", "state", "agent", "message", "run_id")
_SPARE = ("agent_version", "steps", "duration_ms", "cost_usd")
_OWN_FORMAT = re.compile(r"\bFORMAT\s+\w+[\s;]*$", re.IGNORECASE)
_SOURCE = re.compile(r"( \((version|for url) [^)]*\))+$")
_EXPECTED = re.compile(r"(: \S.{0,80}?)?(?:\s+FORMAT Native)?\. Expected one of: .*", re.DOTALL)


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (sql, runs, anomalies):
        app.command(rich_help_panel="Ask")(command)


def sql(
    query: Annotated[str, typer.Argument(help="Any ClickHouse query; runwatch's views need no prefix.")],
    form: FormatOption = Format.table,
) -> None:
    """Ask ClickHouse anything.

    Views: events, runs, window_metrics, anomalies, anomaly_history, agent_runs, control_log, dead_letters.

    Example: [bold]runwatch sql "SELECT agent, count() FROM runs GROUP BY agent"[/bold]
    """
    from ..clickhouse import StoreAway, StoreDenied, StoreError

    if not query.strip(" \n\t;"):
        raise Fail("The query is empty.", MISUSED)
    if _OWN_FORMAT.search(query):
        raise Fail("Leave FORMAT out of the query: how it is printed is for --format to say.", MISUSED)
    try:
        with LateBar("asking ClickHouse"):
            table = open_reader(config.load()).sql(query)
    except (StoreAway, StoreDenied):
        raise
    except StoreError as error:
        raise Fail(_complaint(error), MISUSED) from error
    if not table.columns:  # CREATE, DROP and their like
        say("Done.")
        return
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    print_rows(rows, table.columns, form, "The query has no rows.")


def _complaint(error: Exception) -> str:
    """What ClickHouse finds wrong with a query, without the list of all that it would have understood."""
    said = re.search(r"DB::Exception: (.*)", str(error.__cause__ or error), re.DOTALL)
    text = _SOURCE.sub("", " ".join((said[1] if said else str(error)).split()))
    return f"ClickHouse does not take this query: {_EXPECTED.sub(lambda found: found[1] or '', text)}"


def runs(
    agent: Annotated[str, typer.Option(help="Of this agent alone.")] = "",
    stop_reason: Annotated[str, typer.Option(help="Such as stopped for this reason.")] = "",
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Such as have not stopped.")] = False,
    anomalous: Annotated[bool, typer.Option("--anomalous", help="Such as something was found in.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    form: FormatOption = Format.table,
) -> None:
    """List the latest runs, newest first.

    Times are UTC. As JSON or CSV there are more columns than in the table.

    Example: [bold]runwatch runs --anomalous --limit 5[/bold]
    """
    rows = open_reader(config.load()).runs(
        limit, agent=agent, stop_reason=stop_reason, unfinished=unfinished, anomalous=anomalous
    )
    if form is Format.table:
        rows = [{**row, "started_at": row["started_at"].replace(microsecond=0)} for row in rows]
        print_rows(rows, _RUNS, form, "No such runs are stored.", below=("run_id",), spare=_SPARE)
    else:
        print_rows(rows, tuple(rows[0]) if rows else _RUNS, form, "")


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

    Times are UTC. As JSON or CSV there are more columns than in the table.

    Example: [bold]runwatch anomalies --follow --format jsonl[/bold]
    """
    settings = config.load()
    if follow:
        if unresolved:
            raise Fail("--open is for what is stored; --follow shows everything that is found.", MISUSED)
        _follow(settings, agent, rule, run_id, form)
        return
    rows = open_reader(settings).anomalies(limit, agent=agent, rule=rule, run_id=run_id, unresolved=unresolved)
    if form is Format.table:
        rows = [{**row, "opened": row["opened"].replace(microsecond=0)} for row in rows]
        print_rows(rows, _ANOMALIES, form, "No such anomalies are stored.", below=("message", "run_id"))
    else:
        print_rows(rows, tuple(rows[0]) if rows else _ANOMALIES, form, "")


def _follow(settings: config.Settings, agent: str, rule: str, run_id: str, form: Format) -> None:
    if form not in (Format.table, Format.jsonl):
        raise Fail("What is followed is printed as a table's lines or as jsonl.", MISUSED)
    with AnomalyFeed(settings, on_trouble=say) as feed:
        say("Following the anomalies; Ctrl-C ends it.")
        for one in feed.read(lambda: False):
            if (agent and one.agent != agent) or (rule and one.rule != rule) or (run_id and one.run_id != run_id):
                continue
            if form is Format.jsonl:
                print_json(one.report())
            else:
                line = f"{one.severity:<8}  {one.state:<9}  {one.rule:<24}  {one.agent}: {one.message}"
                print(visible(line + (f"  (run {one.run_id})" if one.run_id else "")), flush=True)
