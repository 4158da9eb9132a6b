"""What the commands that speak to agents share: a command sent, and what stands in the control topic."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated

import typer

from .. import config
from .exits import MISUSED, Fail
from .output import clock, console

if TYPE_CHECKING:
    from ..control.follow import Follower
    from ..schemas.controls import Mode

LOADED_S = 15.0
"""How long the control topic may take to be read."""

ForOption = Annotated[str | None, typer.Option("--for", help="How long, such as 90s, 10m or 1.5h; else until allowed.")]


def give(settings: config.Settings, scope: str, mode: Mode, why: str, lasting: str | None) -> None:
    """Sends a command and says what it does."""
    from ..control.send import send
    from ..schemas.controls import Control
    from ..schemas.ids import uuid7
    from ..schemas.registry import open_registry
    from ..schemas.topics import CONTROL

    if not why.strip():
        raise Fail("Say why: --why is kept in the audit.", MISUSED)
    at_ms = now_ms()
    expires_ms = None if lasting is None else at_ms + duration_ms(lasting)
    command = Control(uuid7(at_ms), scope, mode, at_ms, why.strip(), _me(), expires_ms)
    topic = settings.topic(CONTROL.name)
    send({"bootstrap.servers": settings.kafka}, topic, open_registry(settings.registry), command)
    until = "" if expires_ms is None else f" until {clock(expires_ms)} UTC"
    console.print(f"{scope}: {mode}{until}.", highlight=False, markup=False)


def read_control(settings: config.Settings) -> Follower:
    """The control topic, read to its end; not `loaded` where the broker does not answer."""
    from ..control.follow import read_once
    from ..schemas.registry import open_registry
    from ..schemas.topics import CONTROL

    topic = settings.topic(CONTROL.name)
    return read_once({"bootstrap.servers": settings.kafka}, topic, lambda: open_registry(settings.registry), LOADED_S)


def duration_ms(text: str) -> int:
    """Milliseconds of what `--for` was given. Raises `Fail`."""
    from ..settings.section import parse_duration

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Fail(f"--for: {error}.", MISUSED) from error
    if not isinstance(found, int) or found <= 0:
        raise Fail("--for is to be longer than nothing.", MISUSED)
    return found


def now_ms() -> int:
    """The time now."""
    return int(time.time() * 1000)


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "unknown"
