"""The policy's side of the wiring: the control topic followed, anomalies taken, commands sent."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ..config import Settings
from ..control.follow import Follower
from ..schemas.anomalies import Anomaly
from ..schemas.controls import Control
from ..schemas.registry import Registry
from ..schemas.topics import CONTROL
from ..settings.policy import Policy
from .emit import Emitter, Encoder
from .enforce.commands import restored
from .enforce.watch import EnforceWatch
from .frames import Frame
from .judging import Look

log = logging.getLogger("runwatch.processors")

PATIENCE_S = 10.0
"""How long the control topic is waited for before that is said."""

Said = Callable[[list[Anomaly]], asyncio.Future[None]]


class Enforcement:
    """Acts upon anomalies."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        registry: Registry,
        emitter: Callable[[], Emitter],
        say: Said,
        clock: Callable[[], int],
    ) -> None:
        """`emitter`: the way out for commands; `say` tells anomalies of its own; `clock`: milliseconds."""
        self._emitter = emitter
        self._say = say
        self._clock = clock
        self._encode = Encoder("control", settings.topic(CONTROL.name), registry)
        signers = settings.signers()
        # Where nobody would obey the policy that is known now, and not when something is to be stopped.
        self._signer = settings.signer() if policy.enabled else None
        self._follower = Follower(settings.kafka_client(), self._encode.topic, lambda: registry, self._trouble, signers)
        self._watch = EnforceWatch(registry, policy, self._follower.state, clock)
        self.commanded: Counter[str] = Counter()
        """Commands given, by mode; those that a dry run would have given as `dry`."""

    @property
    def topic(self) -> str:
        """Where commands go."""
        return self._encode.topic

    def guarded_by(self, look: Look) -> None:
        """Has `look` look at each frame first."""
        self._watch.look = look

    def start(self) -> None:
        """Begins to follow what stands in the control topic, so that the first anomaly need not wait for it."""
        self._follower.start()

    async def ready(self) -> None:
        """Waits until it is known what stands in the control topic: nobody's word is overruled unread."""
        if self._follower.loaded:
            return
        self.start()
        wait = asyncio.get_running_loop().run_in_executor
        while not await wait(None, self._follower.wait_loaded, PATIENCE_S):
            log.warning("The topic %s cannot be read yet; anomalies wait for it.", self._encode.topic)
            await asyncio.sleep(1.0)

    def take(self, frame: Frame) -> asyncio.Future[Any]:
        """Commands what the policy asks for; the future is done when the commands have arrived."""
        return self._act(self._watch.take(frame))

    def at_once(self, anomalies: Iterable[Anomaly]) -> asyncio.Future[Any]:
        """The same, of anomalies of this worker's that are on their way; see `EnforceWatch.at_once`."""
        return self._act(self._watch.at_once(anomalies) if self._follower.loaded else ())

    def _act(self, found: Iterable[Control | Anomaly]) -> asyncio.Future[Any]:
        controls: list[Control] = []
        anomalies: list[Anomaly] = []
        for one in found:
            if isinstance(one, Control):
                controls.append(one)
            else:
                anomalies.append(one)
        sent = self._send((one.scope, one) for one in controls)
        for control in controls:
            # What a bad rule would have done may be without end; what it may do has a cap.
            level = logging.DEBUG if control.scope.startswith("dry:") else logging.INFO
            log.log(level, "%s %s by %s: %s", control.mode, control.scope, control.by, control.why)
        self.commanded.update("dry" if one.scope.startswith("dry:") else one.mode for one in controls)
        return asyncio.gather(sent, self._say(anomalies)) if anomalies else sent

    async def clear(self) -> None:
        """Takes away what the policy commanded and is long over, so that the topic stays small; one worker for all."""
        if self._watch.holds(0) and self._follower.loaded:
            now_ms = self._clock()
            await self._send((scope, None) for scope in self._watch.expired(now_ms))
            await self._say_again(now_ms)

    async def _say_again(self, now_ms: int) -> None:
        """Has commands stand again behind which something came that nobody obeys: compaction would forget them."""
        if self._signer is None:
            return
        lost = [restored(one) for one in self._follower.overwritten(now_ms, self._signer.key_id)]
        for one in lost:
            log.warning("Something that nobody obeys was written over %s of %s; it is said again.", one.mode, one.scope)
        await self._send((one.scope, one) for one in lost)

    def keep_only(self, partitions: Iterable[int]) -> None:
        """Lets go of the partitions that were taken away."""
        self._watch.keep_only(partitions)

    def close(self) -> None:
        """Ends the following."""
        self._follower.close()

    def standing(self) -> Counter[tuple[str, str]]:
        """How many commands are in force, by kind of scope and mode; whoever gave them."""
        return Counter((one.scope.partition(":")[0], one.mode) for one in self._follower.state.commands(self._clock()))

    @property
    def bad(self) -> int:
        """Anomalies that could not be read, and messages that are no commands."""
        return self._watch.bad + self._follower.ignored

    def _send(self, commands: Iterable[tuple[str, Control | None]]) -> asyncio.Future[None]:
        messages = (self._message(scope, one) for scope, one in commands)
        return self._emitter().send(self._encode.topic, messages, self._signer.headers if self._signer else None)

    def _message(self, scope: str, control: Control | None) -> tuple[bytes, bytes | None]:
        return (scope.encode(), None) if control is None else self._encode(control.to_record(), scope)

    @staticmethod
    def _trouble(_kind: str, message: str, *values: object) -> None:
        log.warning(message, *values)
