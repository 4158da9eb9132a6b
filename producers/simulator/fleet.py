"""The fleet: agents at their tasks in virtual time, at a multiple of real time or as fast as events go out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ...schemas.canonical import sha
from ...schemas.ids import derived_id
from ..clock import Clock
from ..guard.refusals import RunStopped
from ..watch import Watch
from .schedule import Schedule, nap
from .settings import FleetSettings, Profile
from .task import Life, Stopped, Task, life
from .twins import without_guard

ROOM = 0.5
"""The part of the SDK's queue that is left free: a fleet that has time waits instead of losing events."""
TELL_EVERY = 500
"""Wake-ups between two looks at progress and room."""

Connect = Callable[[Clock], Watch]
OnStopped = Callable[[Stopped], None]


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """How far a fleet has come."""

    now_ms: int
    """Its time."""
    runs: int
    """Runs begun."""
    sent: int
    """Events sent."""


@dataclass(slots=True)
class Used:
    """What some runs have used."""

    runs: int = 0
    tool_calls: int = 0
    cost_usd: float = 0.0

    def add(self, life: Life) -> None:
        """One run more."""
        self.runs += 1
        self.tool_calls += life.tool_calls
        self.cost_usd += life.cost_usd


class Fleet:
    """Simulated agents. The same settings and start give the same runs, but for event ids and for what is stopped.

    A run that the guard ends is over, and its agent goes on with its next task. A context manager: leaving it
    closes it.
    """

    def __init__(
        self, settings: FleetSettings, start_ms: int, connect: Connect, on_stopped: OnStopped | None = None
    ) -> None:
        """Virtual time begins at `start_ms`. `connect` makes the SDK's connection, with the clock that it is given:
        `lambda clock: runwatch.connect("fleet", kafka=..., clock=clock)`; the agents' own names stand in their events.
        `on_stopped` is told of each run that the guard ends.
        """
        self._settings = settings
        self._start_ms = start_ms
        self._schedule = Schedule(start_ms)
        self._watch = connect(self._schedule)
        self._onset_ms: int | None = None
        self._on_stopped = on_stopped
        self.stopped: list[Stopped] = []
        """Runs that the guard has ended, in their order."""
        self.hit = Used()
        """Runs that met the incident and are over, the stopped ones among them."""
        self._runs = 0
        self._open_runs = 0
        self._is_closing = False
        shares = [profile.share for profile in settings.profiles]
        for index in range(settings.agents):
            self._schedule.start(self._agent(index, _nth(settings.profiles, shares, index, settings.agents)))

    @property
    def progress(self) -> FleetProgress:
        """How far it has come."""
        return FleetProgress(self._schedule.now_ms(), self._runs, self._watch.stats()["sent"])

    @property
    def stats(self) -> dict[str, int]:
        """See `Watch.stats`."""
        return self._watch.stats()

    def run(
        self,
        until_ms: int,
        *,
        speed: float | None = None,
        onset_ms: int | None = None,
        on_progress: Callable[[FleetProgress], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> FleetProgress:
        """Lives on until `until_ms` of virtual time; may be called again, to live on from there.

        `speed` is a multiple of real time; None is as fast as events go out. Runs that begin at `onset_ms`
        or later meet the incident. `stop` is asked now and then, and ends this early when it says so.
        """
        if onset_ms is not None:
            self._onset_ms = onset_ms
        pace = _Pace(self._schedule.now_ms(), speed)
        count = 0
        while (next_ms := self._schedule.next_ms) is not None and next_ms < until_ms:
            pace.wait_for(next_ms)
            self._schedule.step()
            count += 1
            if count % TELL_EVERY == 0:
                self._make_room()
                if on_progress:
                    on_progress(self.progress)
                if stop and stop():
                    break
        if on_progress:
            on_progress(self.progress)
        return self.progress

    def unstopped(self) -> list[Life]:
        """What each of the stopped runs would have come to, had nobody stopped it."""
        return without_guard((one.task for one in self.stopped), self._start_ms)

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until all that was sent is delivered; False where it could not be in time."""
        return self._watch.flush(timeout)

    def close(self, timeout: float = 30.0, *, speed: float | None = None) -> bool:
        """Lets the runs under way come to their end, begins no more, and delivers all; False where it could not.

        `speed` is that of the runs' end, as in `run`.
        """
        self._is_closing = True
        pace = _Pace(self._schedule.now_ms(), speed)
        while self._open_runs and (next_ms := self._schedule.next_ms) is not None:
            pace.wait_for(next_ms)
            self._schedule.step()
            self._make_room()
        self._schedule.close()
        return self._watch.close(timeout)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _agent(self, index: int, profile: Profile) -> None:
        settings = self._settings
        pauses = Random(f"{settings.seed}/{index}")  # nosec B311  # a seed makes it the same
        await nap(pauses.uniform(0.0, settings.pause_s))
        number = 0
        while not self._is_closing:
            number += 1
            has_begun = self._onset_ms is not None and self._schedule.now_ms() >= self._onset_ms
            # A fleet of other names has other runs: what is said to one binds no other.
            run_id = derived_id("simulated", profile.agent, settings.seed, self._start_ms, index, number)
            seed = f"{settings.seed}/{index}/{number}"
            await self._do(Task(run_id, profile, seed, settings.incident if has_begun else None))
            await nap(pauses.expovariate(1.0 / settings.pause_s))

    async def _do(self, task: Task) -> None:
        profile = task.profile
        watch = self._watch.agent(profile.agent, task.version, profile.model)
        prompt_sha, tools_sha = sha(f"{profile.agent} {profile.version}"), sha([name for name, _, _ in profile.tools])
        self._runs += 1
        self._open_runs += 1
        run = watch.run(task.run_id, prompt_sha=prompt_sha, tools_sha=tools_sha)
        worker = task.worker(run)
        try:
            async with run:
                await worker.work()
        except RunStopped as stop:
            self._was_stopped(task, life(run.stop()), stop, worker.logged_at)
        self._open_runs -= 1
        if task.meets_incident:
            self.hit.add(life(run.stop()))

    def _was_stopped(self, task: Task, life: Life, stop: RunStopped, logged_at: tuple[float, ...]) -> None:
        stopped = Stopped(task, life, self._schedule.now_ms(), str(stop), logged_at, time.monotonic())
        self.stopped.append(stopped)
        if self._on_stopped:
            self._on_stopped(stopped)

    def _make_room(self) -> None:
        while self._watch.room() < ROOM:
            time.sleep(0.005)


class _Pace:
    """Holds virtual time to a multiple of real time."""

    def __init__(self, start_ms: int, speed: float | None) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._began = time.monotonic()

    def wait_for(self, at_ms: float) -> None:
        if self._speed is None:
            return
        left = (at_ms - self._start_ms) / 1000 / self._speed - (time.monotonic() - self._began)
        if left > 0:
            time.sleep(left)


def _nth(profiles: tuple[Profile, ...], shares: list[float], index: int, count: int) -> Profile:
    """The profile of the `index`-th of `count` agents: each profile gets its share of them, in a row."""
    place = (index + 0.5) / count * sum(shares)
    for profile, share in zip(profiles, shares, strict=True):
        place -= share
        if place < 0:
            return profile
    return profiles[-1]
