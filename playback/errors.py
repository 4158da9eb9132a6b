"""What a replay raises, of its own and out of the record."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from ..schemas.errors import RunwatchError


class ReplayError(RunwatchError):
    """A record that cannot be had; the message says why and what to do."""


class NotRecorded(RunwatchError):
    """A call that is not in the record: the new run has left the old one's way. Nothing was called."""

    stop_reason = "not_recorded"


class RecordedError(Exception):
    """What a recorded call had raised. Its class has the name of the one that was raised then.

    Of the built-in ones it is a kind as well: `except TimeoutError` catches a recorded `TimeoutError`.
    """

    def __init__(self, told: str) -> None:
        # Not that of the built-in one, which may want other arguments.
        Exception.__init__(self, told)

    def __str__(self) -> str:
        return str(self.args[0])


def recorded_error(name: str, known: Mapping[str, type[BaseException]], **attributes: Any) -> BaseException:
    """An exception of the class that is called `name`, with these attributes where they are not None.

    `known` are classes of the caller's own, by name. What ends a process (`KeyboardInterrupt`) is one by its name
    alone. Never raises.
    """
    told = f"{name}, as recorded; its message was not kept"
    error: BaseException | None = None
    try:
        if name in known:
            error = known[name](told)
        elif (base := _builtin(name)) is not None:
            error = type(name, (RecordedError, base), {})(told)
    except Exception:  # a class that wants other arguments, or does not go with ours
        error = None
    if error is None:
        error = type(name, (RecordedError,), {})(told)
    for attribute, value in attributes.items():
        if value is not None:
            setattr(error, attribute, value)
    return error


def _builtin(name: str) -> type[Exception] | None:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
