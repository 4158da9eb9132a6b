"""`runwatch bench`: measure, beside peers, on a stack of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import polars_env
from .exits import FOUND, MISUSED, Fail
from .output import console, notes

if TYPE_CHECKING:
    from ..bench.result import Result


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(rich_help_panel="Measure")(bench)


def bench(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART…]",
            help="process, sink, delay, control, recovery, outage, sdk, store, detection; all if none.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a part, on one line.")] = False,
    events: Annotated[int, typer.Option(help="How many events are made and read.")] = 3_000_000,
    repeats: Annotated[int, typer.Option(help="How often each contestant runs; they take turns.")] = 3,
    peer_seconds: Annotated[float, typer.Option(help="How long a peer may work each time.")] = 20.0,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="Whether peers run at all.")] = True,
    rate: Annotated[int | None, typer.Option(help="Events a second, of parts at a rate; sdk: calls.")] = None,
    seconds: Annotated[float, typer.Option(help="Parts delay and control: how long is sent.")] = 30.0,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Part detection: a simulated history; all if none is named.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Part detection: seed of the simulated histories.")] = 1,
    recorded: Annotated[
        Path | None, typer.Option(help="Part detection: folder of recorded runs; RUNWATCH_RECORDED by default.")
    ] = None,
    stored: Annotated[int, typer.Option(help="Part store: how many events are stored.")] = 50_000_000,
    folder: Annotated[Path | None, typer.Option(help="Where the temporary stack is made.")] = None,
) -> None:
    """Measure the parts of runwatch beside their peers, on a temporary stack that is removed afterwards.

    The part `detection` needs no stack. Figures are medians; run it when the machine has nothing else to do.

    Example: [bold]runwatch bench process sink --json[/bold]
    """
    polars_env.prepare()
    from ..bench.errors import BenchError
    from ..bench.options import Options
    from ..bench.report import show, show_machine
    from ..bench.run import PARTS, run

    def tell(what: str, done: float | None) -> None:
        # On a terminal one line that changes, elsewhere a line a step.
        shown = what if done is None else f"{what} {done:.0%}"
        if notes.is_terminal:
            status.update(shown)
        elif done is None:
            notes.print(shown, highlight=False, markup=False)

    def report(result: Result) -> None:
        if as_json:
            print(result.line(), flush=True)
        else:
            show(result, console)

    try:
        options = Options(
            events, repeats, peer_seconds, peers, rate, seconds, tuple(scenario or ()), seed, recorded, folder, stored
        )
    except BenchError as error:
        raise Fail(str(error), MISUSED) from error
    if unknown := [name for name in parts or () if name not in PARTS]:
        raise Fail(f"There is no part {unknown[0]!r} of the bench; there are: {', '.join(PARTS)}.", MISUSED)
    with notes.status("") as status:
        results = run(parts or (), options, tell=tell, show=report)
    if results and not as_json:
        show_machine(results[-1], console)
    if any(result.problems for result in results):
        raise typer.Exit(FOUND)
