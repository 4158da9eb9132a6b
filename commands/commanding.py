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
    signer = settings.signer()
    at_ms = now_ms()
    expires_ms = None if lasting is None else at_ms + duration_ms(lasting)
    command = Control(uuid7(at_ms), scope, mode, at_ms, why.strip(), whoami(), expires_ms)
    topic = settings.topic(CONTROL.name)
    send(settings.kafka_client(), topic, open_registry(settings.registry), command, signer=signer)
    until = "" if expires_ms is None else f" until {clock(expires_ms)} UTC"
    console.print(f"{scope}: {mode}{until}.", highlight=False, markup=False)


def read_control(settings: config.Settings) -> Follower:
    """The control topic, read to its end; not `loaded` where the broker does not answer."""
    from ..control.follow import read_once
    from ..schemas.registry import open_registry
    from ..schemas.topics import CONTROL

    topic = settings.topic(CONTROL.name)
    registry = settings.registry
    return read_once(settings.kafka_client(), topic, lambda: open_registry(registry), LOADED_S, settings.signers())


def duration_ms(text: str, option: str = "--for") -> int:
    """Milliseconds of what an option was given. Raises `Fail`."""
    from ..settings.section import parse_duration

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise Fail(f"{option}: {error}.", MISUSED) from error
    if not isinstance(found, int) or found <= 0:
        raise Fail(f"{option} is to be longer than nothing.", MISUSED)
    return found


def now_ms() -> int:
    """The time now."""
    return int(time.time() * 1000)


def whoami() -> str:
    """Who says it, by the system's name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "unknown"
