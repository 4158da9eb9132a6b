"""`runwatch process` and `runwatch sink`: the long-running parts, as production starts them."""

from __future__ import annotations

import logging

import typer

from .. import config
from . import polars_env
from .config_file import load_config_file
from .exits import FOUND, Fail
from .rules import load_rules


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command(rich_help_panel="Run")(process)
    app.command(rich_help_panel="Run")(sink)


def process() -> None:
    """Run a processor: it watches the events, and says what loops and what drifts.

    Start as many as there are partitions; they share the work. Settings are environment variables, such as
    RUNWATCH_KAFKA=broker-1:9092,broker-2:9092 and RUNWATCH_PREFIX=prod;
    RUNWATCH_RULES names a file of rules, RUNWATCH_CONFIG the config file.

    Example: [bold]RUNWATCH_KAFKA=127.0.0.1:9092 runwatch process[/bold]
    """
    polars_env.prepare()
    _log()
    from ..deadletters.guard import Guard
    from ..deadletters.limit import Limit
    from ..deadletters.words import Words
    from ..metrics.serve import serving
    from ..processors.app import run_processors
    from ..processors.metrics import WorkerMetrics
    from ..schemas.registry import open_registry

    settings = config.load()
    said = load_config_file(settings.config)
    rules = load_rules(settings.rules).tracking(said.metrics.track)
    metrics = WorkerMetrics()
    limit = Limit(**said.dead_letters.model_dump())
    guard = Guard("processors", limit, Words(settings, open_registry(settings.registry)))
    try:
        with serving(settings, "processors", metrics) as port:
            run_processors(settings, rules, said.policy, None if port is None else metrics, guard)
    except SystemExit as end:
        # As Faust's workers always end.
        if not end.code:
            _tell_held(guard.troubled)
        raise


def sink() -> None:
    """Run a sink: it stores every topic in ClickHouse, each message once.

    Makes the tables first, and brings older ones up to date. Several sinks share the partitions.

    Example: [bold]RUNWATCH_CLICKHOUSE=http://127.0.0.1:8123 runwatch sink[/bold]
    """
    _log()
    from ..deadletters.limit import Limit
    from ..metrics.serve import serving
    from ..sinks.app import run_sink
    from ..sinks.metrics import SinkMetrics
    from ..sinks.retention import Keep
    from ..sinks.stats import Stats

    settings = config.load()
    said = load_config_file(settings.config)
    stats = Stats()
    keep = Keep(said.retention.logs_days, said.retention.tool_snapshot_days)
    limit = Limit(**said.dead_letters.model_dump())
    with serving(settings, "sink", SinkMetrics(stats)):
        run_sink(settings, keep=keep, stats=stats, limit=limit)
    _tell_held([topic for topic, is_held in stats.held.items() if is_held])


def _tell_held(topics: list[str]) -> None:
    """Ends with 1 where topics were left unread for what is in them: whoever starts us is to look, not to hope."""
    if topics:
        raise Fail(
            f"Ended while {', '.join(topics)} was not read on, since nearly nothing in it can be read: see "
            "`runwatch deadletter list`. The next start tries it again.",
            FOUND,
        )


def _log() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("runwatch").setLevel(logging.INFO)
    # Faust names its services' steps after our module.
    logging.getLogger("runwatch.processors.transport").setLevel(logging.WARNING)
