"""`runwatch snapshots`: the keys that arguments and results are sealed for."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .exits import MISUSED, Fail


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
        _write(out, private)
    print("# For agents, in the file that RUNWATCH_CONFIG names:")
    print("logging: {events: {store_args: true}}")
    print(f"snapshots: {{seal_for: {public}}}")
    print()
    print("# For those who may read, and nobody else: `runwatch replay` and runwatch.replay look for")
    place = f"@{out.absolute()}" if out is not None else private
    print(f"RUNWATCH_SNAPSHOT_TOKEN={place}")


def _write(path: Path, private: str) -> None:
    try:
        # For its owner alone, from its first moment on; a key that is there already may still be needed.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(private + "\n")
    except FileExistsError as error:
        raise Fail(f"{path} is there already, and is not written over; name another file.", MISUSED) from error
