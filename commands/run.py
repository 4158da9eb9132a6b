"""`runwatch process` and `runwatch sink`: the long-running parts, as production starts them."""

from __future__ import annotations

import logging
import os

import typer

from .. import config
from .config_file import load_config_file
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
    # Before Polars is loaded: a frame is small, and more threads cost it more than they bring.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    _log()
    from ..processors.app import run_processors

    settings = config.load()
    said = load_config_file(settings.config)
    run_processors(settings, load_rules(settings.rules).tracking(said.metrics.track), said.policy)


def sink() -> None:
    """Run a sink: it stores every topic in ClickHouse, each message once.

    Makes the tables first, and brings older ones up to date. Several sinks share the partitions.

    Example: [bold]RUNWATCH_CLICKHOUSE=http://127.0.0.1:8123 runwatch sink[/bold]
    """
    _log()
    from ..sinks.app import run_sink
    from ..sinks.retention import Keep

    settings = config.load()
    said = load_config_file(settings.config)
    run_sink(settings, keep=Keep(said.retention.logs_days, said.retention.tool_snapshot_days))


def _log() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("runwatch").setLevel(logging.INFO)
    # Faust names its services' steps after our module.
    logging.getLogger("runwatch.processors.transport").setLevel(logging.WARNING)
