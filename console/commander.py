"""The control topic as the console sees it: what stands in it, and commands into it."""

from __future__ import annotations

import asyncio
import time

from ..config import Settings
from ..control.follow import Follower
from ..control.send import ControlError, send
from ..control.state import ControlState
from ..schemas.controls import Control, Mode
from ..schemas.errors import RunwatchError
from ..schemas.ids import uuid7
from ..schemas.registry import open_registry
from ..schemas.topics import CONTROL

LOST_S = 10.0
"""For so long the broker may be silent before viewers are told."""


class Commander:
    """Follows the topic in the background; sends what operators say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(CONTROL.name)
        self._kafka = settings.kafka_client()
        self._follower = Follower(
            self._kafka, self._topic, lambda: open_registry(settings.registry), signers=settings.signers()
        )

    def start(self) -> None:
        """Begins to follow."""
        self._follower.start()

    @property
    def state(self) -> ControlState:
        """What stands; the last that was known while the broker is away."""
        return self._follower.state

    @property
    def loaded(self) -> bool:
        """Whether the topic was ever read to its end: else nothing that stands may be known yet."""
        return self._follower.loaded

    def trouble(self) -> str | None:
        """What is wrong with the broker, in a sentence; None where nothing is."""
        if self._follower.lost_for_s() < LOST_S:
            return None
        return (
            f"Kafka at {self._settings.kafka} does not answer: what stands is shown as it last was, and commands "
            "cannot be given. Agents go by what they last heard."
        )

    async def give(self, scope: str, mode: Mode, why: str, by: str, expires_ms: int | None) -> Control:
        """Sends a command and waits until the broker has it.

        Raises `ScopeError`, `ControlError` or `RegistryError`: then it binds nobody.
        """
        at_ms = int(time.time() * 1000)
        command = Control(uuid7(at_ms), scope, mode, at_ms, why, by, expires_ms)
        await asyncio.to_thread(self._send, command)
        return command

    def close(self) -> None:
        """Ends the following."""
        self._follower.close()

    def _send(self, command: Control) -> None:
        try:
            # Each time: a console without a key still shows what stands, and keys are changed while it runs.
            signer = self._settings.signer()
        except RunwatchError as error:
            raise ControlError(f"The command was not sent. {error}") from error
        send(self._kafka, self._topic, open_registry(self._settings.registry), command, signer=signer)
