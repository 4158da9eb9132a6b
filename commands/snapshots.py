"""`runwatch snapshots`: the keys that arguments and results are sealed for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .keygen import write_new


class Doing(StrEnum):
    """What is done with keys."""

    key = "key"


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Act")(snapshots)


def snapshots(
    what: Annotated[Doing, typer.Argument(help="`key`: make a pair of keys.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the private key to this new file, and do not show it.")
    ] = None,
) -> None:
    """Make the pair of keys for snapshots: agents seal for the public one, only the private one opens.

    Whoever loses the private key has lost what was sealed for it.

    Example: [bold]runwatch snapshots key --out snapshots.key[/bold]
    """
    from ..schemas.sealing import make_pair

    public, private = make_pair()
    if out is not None:
        write_new(out, private)
    print("# For agents, in the file that RUNWATCH_CONFIG names:")
    print("logging: {events: {store_args: true}}")
    print(f"snapshots: {{seal_for: {public}}}")
    print()
    print("# For those who may read, and nobody else: `runwatch replay` and runwatch.replay look for")
    place = f"@{out.absolute()}" if out is not None else private
    print(f"RUNWATCH_SNAPSHOT_TOKEN={place}")
