"""`runwatch up`, `down`, `status` and `logs`: the local stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import config
from .config_file import load_config_file
from .console import print_tokens
from .exits import AWAY, FOUND, MISUSED, Fail
from .output import Format, FormatOption, console, print_rows, say
from .rules import load_rules
from .table import visible

if TYPE_CHECKING:
    from ..console.access.tokens import Tokens
    from ..schemas.health import Health
    from ..stack.lifecycle import ServiceStatus
    from ..stack.services import Options

Port = partial(typer.Option, min=1, max=65535)
_STATUS = ("service", "state", "pid", "uptime", "restarts", "memory", "endpoint")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (up, down, status, logs):
        app.command(rich_help_panel="The local stack")(command)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back once it is ready; `down` ends it.")] = False,
    kafka_port: Annotated[int | None, Port(help="Kafka's port; else 9092, or a free one.")] = None,
    clickhouse_port: Annotated[int | None, Port(help="ClickHouse's port; else 8123, or a free one.")] = None,
    registry_port: Annotated[int | None, Port(help="The registry's port; else 8081, or a free one.")] = None,
    console_port: Annotated[int | None, Port(help="The console's port; else 8090, or a free one.")] = None,
) -> None:
    """Start the local stack: Kafka, ClickHouse, a schema registry, the processors, the sink and the console.

    The console is a web page: its address is printed, and at the first start the tokens that let people in.
    Everything it writes is in .runwatch, or in RUNWATCH_HOME. Ctrl-C stops all of it.

    Example: [bold]runwatch up --detach[/bold]
    """
    from ..stack import lifecycle

    settings = config.Settings()
    options = stack_options(
        settings,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        registry_port=registry_port,
        console_port=console_port,
    )
    started = time.monotonic()
    with way_in(settings) as show_way_in:

        def ready(endpoints: dict[str, str]) -> None:
            print_endpoints(endpoints, time.monotonic() - started)
            show_way_in(endpoints)

        lifecycle.up(options, say, detach=detach, ready=ready)


def stack_options(settings: config.Settings, **ports: Any) -> Options:
    """What the local stack is started with; `ports` as `Options` names them. Files of settings are read first."""
    from ..stack.services import USUAL, Options

    if settings.rules is not None:
        load_rules(settings.rules)
    said = load_config_file(settings.config)
    for sentence in said.notes():
        say(sentence)
    return Options(
        settings.home,
        parts=(*USUAL, "alerts") if said.alerts.receivers else USUAL,
        prefix=settings.prefix,
        partitions=settings.partitions,
        clickhouse_user=settings.clickhouse_user,
        clickhouse_password=settings.clickhouse_secret(),
        rules=None if settings.rules is None else str(settings.rules.absolute()),
        config=None if settings.config is None else str(settings.config.absolute()),
        metrics=settings.metrics_port != 0,
        **ports,
    )


def print_endpoints(endpoints: dict[str, str], seconds: float) -> None:
    """Where the servers are; where the metrics are, `status` says."""
    console.print(f"[bold]Up[/bold] after {seconds:.1f} s.", highlight=False)
    for name, place in endpoints.items():
        if not name.startswith("metrics-"):
            console.print(f"  {name:<11} {place}", highlight=False, markup=False)


@contextmanager
def way_in(settings: config.Settings) -> Iterator[Callable[[dict[str, str]], None]]:
    """Within, the stack is started; what is yielded prints how people come into its console, by its endpoints.

    Where there are no tokens yet they are made here, since a part's output is a log, which is no place for them; and
    taken back if nobody was shown them.
    """
    from ..console.access import tokens

    made: Tokens | None = None
    shown = False
    with suppress(OSError):  # the stack says what is wrong with its folder
        made = None if tokens.are_set(settings) else tokens.make(settings.home)

    def show(endpoints: dict[str, str]) -> None:
        nonlocal shown
        shown = True
        if (url := endpoints.get("console")) is None:
            return
        if made is not None:
            print_tokens(made, url)
        else:
            again = "Come in with the token that you have; `runwatch console --new-tokens` makes new ones."
            console.print(again, highlight=False)

    try:
        yield show
    finally:
        if made is not None and not shown:
            tokens.forget(settings.home)


def down() -> None:
    """Stop the local stack. What it stored stays in its folder.

    Example: [bold]runwatch down[/bold]
    """
    from ..stack import lifecycle

    home = config.Settings().home
    if lifecycle.down(home, say):
        console.print("Stopped.")
    else:
        say(f"No local stack is up in {home}.")


def status(form: FormatOption = Format.table) -> None:
    """Tell how the local stack is: what runs, what answers, what memory it takes; and what the processors have met.

    Where no local stack is up and RUNWATCH_KAFKA names a broker, tells of the processors there. Exits with 1 if
    something is wrong, and with 3 if nothing is up.

    Example: [bold]runwatch status --format json[/bold]
    """
    from ..stack import lifecycle
    from ..stack.lifecycle import ServiceStatus
    from .health import amiss, counted, of_alerts, read_health
    from .stored import read_held, read_loss

    settings = config.load()
    found = lifecycle.status(settings.home)
    workers = read_health(settings) if found.ready or "kafka" in settings.model_fields_set else []
    services = [*found.services, *([] if found.up else map(_service_of, workers))]
    # Where nothing is up there is nobody to ask.
    loss = read_loss(settings) if found.ready or (workers and "clickhouse" in settings.model_fields_set) else None
    held = read_held(settings) if found.ready or workers else []
    counts = counted(one for one in workers if one.part == "processors")
    alerts = counted(one for one in workers if one.part == "alerts")
    if form is Format.table:
        print_rows([_told(one) for one in services], _STATUS, form, _nothing(found.home, found.up))
        if found.services:
            console.print(f"{found.rss_mb:.0f} MB in all.", highlight=False)
        if counts:
            console.print(
                f"{counts['events']:,} events read, {counts['open_runs']:,} runs open, "
                f"{counts['anomalies']:,} times that a run was told of.",
                highlight=False,
            )
        if alerts:
            console.print(of_alerts(alerts), highlight=False)
        if isinstance(loss, str):
            console.print(loss, style="yellow", highlight=False, markup=False)
        elif loss is not None:
            console.print(loss.sentence(), style="yellow" if loss.lost else "", highlight=False)
        for line in held:
            console.print(line, style="red", highlight=False, markup=False)
        for line in (*amiss(counts), *amiss(alerts)):
            console.print(line, style="yellow", highlight=False)
    else:
        by_part: dict[str, Any] = {"processors": counts, "alerts": alerts}
        if loss is not None and not isinstance(loss, str):
            by_part["sink"] = loss.counts()
        rows = [asdict(one) | {"counts": by_part.get(one.name)} for one in services]
        print_rows(rows, [*(one.name for one in fields(ServiceStatus)), "counts"], form, "")
    if not services and not found.up:
        raise typer.Exit(AWAY)
    if held:
        raise typer.Exit(FOUND)
    if not found.up:
        return
    if not found.ready or any(one.state != "running" or one.ready is False for one in found.services):
        raise typer.Exit(FOUND)


def _service_of(worker: Health) -> ServiceStatus:
    """A worker of another deployment, as far as it tells."""
    from ..stack.lifecycle import ServiceStatus

    uptime_s = (time.time() * 1000 - worker.started_ms) / 1000
    return ServiceStatus(worker.part, "running", None, uptime_s, 0, None, worker.worker, None, None, "")


def _told(one: ServiceStatus) -> dict[str, Any]:
    return {
        "service": one.name,
        "state": "no answer" if one.state == "running" and one.ready is False else one.state,
        "pid": one.pid,
        "uptime": "" if one.uptime_s is None else _span(one.uptime_s),
        "restarts": one.restarts,
        "memory": "" if one.rss_mb is None else f"{one.rss_mb:.0f} MB",
        "endpoint": one.endpoint,
    }


def _nothing(home: str, starting: bool) -> str:
    if starting:
        return f"The local stack in {home} is only just starting."
    return f"No local stack is up in {home}: `runwatch up` starts one."


def logs(
    name: Annotated[
        str | None, typer.Argument(help="Whose: kafka, clickhouse, processors, sink …; all by default.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on as more is written; needs a name.")] = False,
) -> None:
    """Show what the local stack's services wrote.

    Example: [bold]runwatch logs processors --follow[/bold]
    """
    from ..stack import logs as files
    from ..stack.home import Home

    home = Home(Path(config.Settings().home))
    known = files.names(home)
    if not known:
        raise Fail(f"No logs in {home.path} yet: `runwatch up` starts the stack.", AWAY)
    if name is not None and name not in known:
        raise Fail(f"There is no log of {name!r}; there are {', '.join(known)}.", MISUSED)
    if follow:
        if name is None:
            raise Fail(f"To follow, name one of {', '.join(known)}.", MISUSED)
        for line in files.follow(home, name, lines):
            print(visible(line.expandtabs(4)), flush=True)
        return
    for one in [name] if name else known:
        if name is None:
            console.rule(one, align="left")
        for line in files.tail(files.check(home, one), lines):
            print(visible(line.expandtabs(4)))


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
