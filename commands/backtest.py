"""`runwatch backtest`: the detectors over files, no servers needed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import FOUND, MISUSED, Fail
from .ingest import InputFormat, report_rejects
from .output import Format, print_rows

if TYPE_CHECKING:
    from ..producers.rejects import Reject
    from ..schemas.events import AgentEvent

_COLUMNS = ("ts_ms", "rule", "severity", "agent", "run_id", "value", "message")
SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(backtest)


def backtest(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Recorded runs; `-` for standard input.")],
    source: Annotated[InputFormat, typer.Option("--input", "-i", help="What the files hold.")] = InputFormat.events,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.jsonl,
) -> None:
    """Run the detectors over recorded runs and print what they would have said. No servers needed.

    One JSON object per anomaly: anomaly_id, rule, state, severity, ts_ms, agent, run_id, step_id, tool, value,
    baseline, message. Exits with 1 if a line was no event.

    Example: [bold]runwatch backtest runs.jsonl.gz --format table[/bold]
    """
    # Before Polars is loaded: a chunk is small, and more threads cost it more than they bring.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from ..processors.backtest import backtest as judge
    from ..processors.rules import Rules
    from ..producers.reading import ReadingError
    from ..schemas.anomalies import REPORT_FIELDS

    rejects: list[Reject] = []
    try:
        found = judge(_events(files, source.value, rejects), Rules())
        if form is Format.jsonl:
            for anomaly in found:
                print(json.dumps(anomaly.report(), ensure_ascii=False), flush=True)
        else:
            columns = _COLUMNS if form is Format.table else REPORT_FIELDS
            print_rows([anomaly.report() for anomaly in found], columns, form, "Nothing loops and nothing drifts.")
    except ReadingError as error:
        raise Fail(str(error), MISUSED) from error
    report_rejects(rejects[:SHOWN], len(rejects))
    if rejects:
        raise typer.Exit(FOUND)


def _events(files: list[str], form: str, rejects: list[Reject]) -> Iterator[AgentEvent]:
    from ..producers.recorded import iter_events

    for name in files:
        yield from iter_events(name, form, on_reject=rejects.append)
