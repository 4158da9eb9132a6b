"""`runwatch backtest`: the detectors over files, no servers needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import FOUND, MISUSED, Fail
from .ingest import InputFormat, report_rejects
from .output import Format, clock, print_json, print_rows
from .progress import LateBar

if TYPE_CHECKING:
    from ..producers.rejects import Reject
    from ..schemas.events import AgentEvent

_COLUMNS = ("time", "severity", "rule", "agent", "message", "run_id")
SHOWN = 20


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(backtest)


def backtest(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Recorded runs; `-` for standard input.")],
    source: Annotated[InputFormat, typer.Option("--input", "-i", help="What the files hold.")] = InputFormat.events,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.jsonl,
) -> None:
    """Run the detectors over recorded runs and print what they would have said. No servers needed.

    One JSON object per anomaly: anomaly_id, rule, state, severity, ts_ms, agent, run_id, step_id, tool, value,
    baseline, message. Exits with 1 if a line held no event.

    Example: [bold]runwatch backtest runs.jsonl.gz --format table[/bold]
    """
    # Before Polars is loaded: a chunk is small, and more threads cost it more than they bring.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from ..processors.backtest import backtest as judge
    from ..processors.rules import Rules
    from ..producers.reading import ReadingError
    from ..schemas.anomalies import REPORT_FIELDS

    rejects = _Rejects()
    try:
        with LateBar("judging") as bar:
            found = judge(_events(files, source.value, rejects, bar), Rules())
            if form is Format.jsonl:
                for anomaly in found:
                    print_json(anomaly.report())
            else:
                reports = [anomaly.report() for anomaly in found]
    except ReadingError as error:
        raise Fail(str(error), MISUSED) from error
    if form is Format.table:
        rows = [{**one, "time": clock(one["ts_ms"])} for one in reports]
        print_rows(rows, _COLUMNS, form, "Nothing loops and nothing drifts.", below=("message", "run_id"))
    elif form is not Format.jsonl:
        print_rows(reports, REPORT_FIELDS, form, "")
    report_rejects(rejects.first, rejects.count)
    if rejects.count:
        raise typer.Exit(FOUND)


class _Rejects:
    """Counts lines that held no event, and keeps the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Reject] = []

    def __call__(self, reject: Reject) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(reject)


def _events(files: Sequence[str], form: str, rejects: _Rejects, bar: LateBar) -> Iterator[AgentEvent]:
    from ..producers.reading import STDIN
    from ..producers.recorded import iter_events

    total = None if STDIN in files else sum(Path(name).stat().st_size for name in files if Path(name).is_file())
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        bar.set(done, total)

    for name in files:
        yield from iter_events(name, form, on_reject=rejects, progress=advance)
