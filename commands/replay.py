"""`runwatch replay`: a run's timeline, step by step, with what is known of its arguments and results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from .. import config
from .exits import FOUND, MISUSED, Fail
from .output import SHORT_HASH, Format, WholeFormat, console, counted, print_json, print_rows
from .table import visible

if TYPE_CHECKING:
    from ..playback.record import Record

_COLUMNS = ("t_s", "seq", "what", "args", "result", "status", "duration_ms", "note")
_WIDE = 60
"""Characters of a content that are shown in a table; JSON has all."""


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Ask")(replay)


def replay(
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="The run, as `runwatch runs` lists it.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Read the run from this file of events, in place of ClickHouse.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the key that opens snapshots; else RUNWATCH_SNAPSHOT_TOKEN has it.")
    ] = None,
    form: Annotated[WholeFormat, typer.Option("--format", "-f", help="How to print it.")] = WholeFormat.table,
) -> None:
    """Print a run's timeline: its steps in order, what was repeated or refused, and why it stopped.

    Arguments and results are hashes, unless there are snapshots and a token that opens them. `runwatch.replay` runs an
    agent against the same record.

    Example: [bold]runwatch replay 0192d1c4-7a3e-7cc1-9a55-5d1f0c3b2a10[/bold]
    """
    record = _record(run_id, file, token_file)
    from ..playback.timeline import ending, timeline

    rows = timeline(record)
    whole = {
        "run_id": record.run_id,
        "agent": record.events[0].agent,
        "steps": rows,
        "ending": ending(record),
        "parts": record.parts(),
    }
    if form is WholeFormat.json:
        print_rows([whole], (), Format.json, "")
    elif form is WholeFormat.jsonl:
        print_json(whole)
    else:
        _print(whole)


def _record(run_id: str | None, file: Path | None, token_file: Path | None) -> Record:
    from ..playback.errors import ReplayError
    from ..playback.sources import from_file, from_store
    from ..playback.token import find_token

    try:
        if file is not None:
            return from_file(file, run_id)
        if run_id is None:
            raise Fail("Say which run; `runwatch runs` lists the latest ones.", MISUSED)
        return from_store(config.load(), run_id, find_token(token_file))
    except ReplayError as error:
        raise Fail(str(error), FOUND) from error


def _print(whole: dict[str, Any]) -> None:
    _line(f"Run {whole['run_id']}", "bold")
    _line(f"{whole['agent']}, {counted(len(whole['steps']), 'step')}")
    rows = [_told(row) for row in whole["steps"]]
    columns = [name for name in _COLUMNS if any(row[name] is not None for row in rows)]
    print_rows(rows, columns, Format.table, "", spare=("duration_ms",))
    console.print()
    _line(whole["ending"], "bold")
    for sentence in known(whole["parts"]):
        _line(sentence, "dim")


def known(parts: dict[str, int]) -> list[str]:
    """Which part of a record is there, in sentences."""
    said = []
    for name, called in (("args", "arguments"), ("results", "results")):
        total, unknown, redacted = parts[name], parts[f"{name}_unknown"], parts[f"{name}_redacted"]
        if total and unknown == total:
            said.append(f"Of the {called} only the hashes are known.")
        elif unknown or redacted:
            said.append(
                f"Of {total:,} {called}, {total - unknown - redacted:,} are whole, {redacted:,} are known in part, and "
                f"{unknown:,} by hash alone."
            )
    if parts["sealed"]:
        said.append(f"{counted(parts['sealed'], 'snapshot')} stayed sealed: the token is missing, or is another's.")
    if parts["missing_events"]:
        said.append(f"{counted(parts['missing_events'], 'event')} of it never arrived.")
    return said


def _told(row: dict[str, Any]) -> dict[str, Any]:
    what = row["tool"] or {"model_result": row["model"] or "a model", "run_start": "began", "stop": "stopped"}.get(
        row["kind"], row["kind"]
    )
    status = row["status"] if row["error"] is None else f"{row['status']} {row['error']}"
    return {
        "t_s": row["t_s"],
        "seq": row["seq"],
        "what": what,
        "args": _content(row, "args"),
        "result": _content(row, "result"),
        "status": status,
        "duration_ms": row["duration_ms"],
        "note": row["note"],
    }


def _content(row: dict[str, Any], name: str) -> str | None:
    digest = row[f"{name}_sha"]
    if name not in row:
        return None if digest is None else f"#{digest[:SHORT_HASH]}"
    text = json.dumps(row[name], ensure_ascii=False)
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"


def _line(text: str, style: str = "") -> None:
    console.print(Text(visible(text), style=style), soft_wrap=True)
